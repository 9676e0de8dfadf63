import traceback

import pytest

from authserver.clients import ClientsError, packaged_clients, parse_clients

GOOD = """\
clients:
  app:
    secret: s3cret
    scopes: [read, write]
    audience: [api]
"""


def test_the_packaged_clients_are_those_of_the_walk() -> None:
    """Two that get tokens of either format, and one that may introspect."""
    clients = packaged_clients()
    assert {name: (client.secret, client.token_format, client.may_introspect) for name, client in clients.items()} == {
        "user-client-opaque": ("user-client-secret", "opaque", False),
        "user-client-jwt": ("user-client-secret", "jwt", False),
        "service-client-jwt": ("service-client-jwt-secret", "jwt", True),
    }
    assert clients["user-client-opaque"].scopes == ("country.read", "country.write", "profile")
    assert clients["user-client-opaque"].scopes == clients["user-client-jwt"].scopes


def test_a_client_gets_opaque_tokens_and_may_not_introspect_unless_its_entry_says_so() -> None:
    """The defaults are the safe ones."""
    client = parse_clients(GOOD.encode(), "clients.yaml")["app"]
    assert (client.client_id, client.token_format, client.may_introspect) == ("app", "opaque", False)
    assert (client.scopes, client.audience) == (("read", "write"), ("api",))


def test_the_secret_is_not_in_the_repr() -> None:
    """What is printed by accident gives nothing away."""
    assert "s3cret" not in repr(parse_clients(GOOD.encode(), "clients.yaml"))


def test_an_entry_may_take_over_another_and_change_it() -> None:
    """YAML's merge key is no key given twice."""
    text = GOOD.replace("app:", "app: &app") + "  other:\n    <<: *app\n    token_format: jwt\n    scopes: [admin]\n"
    clients = parse_clients(text.encode(), "clients.yaml")
    assert clients["other"].scopes == ("admin",)
    assert clients["other"].secret == clients["app"].secret


def test_every_problem_is_told_at_once_with_its_line() -> None:
    """One run of the server is enough to mend the file."""
    text = """\
clients:
  app:
    secret: 12345
    token_format: hidden-value
    token_fromat: jwt
    scopes: [read, "two words"]
    audience: []
  app:
    secret: s3cret
    secret: s3cret
    scopes: [read]
  other:
    secret: s3cret
    may_introspect: "yes"
    scopes:
      - read
      - 7
    audience: [api]
  third: s3cret
colour: blue
"""
    with pytest.raises(ClientsError) as error:
        parse_clients(text.encode(), "my.yaml")
    assert [problem for problem in error.value.problems if "twice" in problem] == [
        "my.yaml:8: app: given twice",
        "my.yaml:10: secret: given twice",
    ]
    found = [problem.split(": ")[:2] for problem in error.value.problems if "twice" not in problem]
    assert found == [
        ["my.yaml:8", "clients.app.audience"],
        ["my.yaml:14", "clients.other.may_introspect"],
        ["my.yaml:17", "clients.other.scopes.1"],
        ["my.yaml:19", "clients.third"],
        ["my.yaml:20", "colour"],
    ]


def test_the_faults_of_one_entry_are_told_at_once_with_their_lines() -> None:
    """Wrong type, unknown word, unknown key, a scope with a space, an empty list."""
    text = """\
clients:
  app:
    secret: 12345
    token_format: hidden-value
    token_fromat: jwt
    scopes: [read, "two words"]
    audience: []
"""
    with pytest.raises(ClientsError) as error:
        parse_clients(text.encode(), "my.yaml")
    assert [": ".join(problem.split(": ")[:2]) for problem in error.value.problems] == [
        "my.yaml:3: clients.app.secret",
        "my.yaml:4: clients.app.token_format",
        "my.yaml:5: clients.app.token_fromat",
        "my.yaml:6: clients.app.scopes.1",
        "my.yaml:7: clients.app.audience",
    ]
    assert "unknown key" in error.value.problems[2]


def test_problems_repeat_no_value_of_the_file() -> None:
    """A mistyped file must not put its secrets on a screen."""
    text = GOOD.replace("s3cret", "[s3cret]").replace("[api]", "s3cret").replace("read", "s3 cret")
    with pytest.raises(ClientsError) as error:
        parse_clients(text.encode(), "my.yaml")
    assert len(error.value.problems) == 3
    assert "cret" not in "".join(traceback.format_exception(error.value)).replace(".secret", "")


@pytest.mark.parametrize(
    "secret", ["*s3cret", "!s3cret", "!s3cret!x", "!<s3cret> x", "!!s3cret x", "@s3cret", "'s3cret"]
)
def test_a_secret_that_yaml_cannot_read_is_not_repeated(secret: str) -> None:
    """Random secrets may begin with a character that means something in YAML."""
    with pytest.raises(ClientsError) as error:
        parse_clients(GOOD.replace("s3cret", secret).encode(), "my.yaml")
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", 1),
        (b"- a\n", 1),
        (b"clients: {}\n", 1),
        (b"clients:\n  app: [\n", 3),
        (b"clients:\n  app: !!python/object:os.system {}\n", 2),
        (b"clients: 2024-13-45\n", 1),
        (b"clients:\n  ? [a]\n  : b\n", 2),
        (b"clients:\n  7: {secret: s, scopes: [], audience: [a]}\n", 2),
        (b"clients: &c\n  app: *c\n", 2),
        (b"clients: \xff\n", 1),
        (b"clients: \x00\n", 1),
        (b"---\na: 1\n---\nb: 2\n", 3),
    ],
)
def test_what_is_no_clients_file_is_refused(text: bytes, line: int) -> None:
    """Whatever the file holds, the answer is a problem with a place."""
    with pytest.raises(ClientsError) as error:
        parse_clients(text, "my.yaml")
    assert error.value.problems[0].startswith(f"my.yaml:{line}: ")
