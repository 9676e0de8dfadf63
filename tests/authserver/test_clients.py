"""The clients file: the packaged clients, defaults, and errors with their lines."""

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


def test_the_packaged_clients_are_the_clients_of_the_walk() -> None:
    """One client for each token format, and one that may introspect."""
    clients = packaged_clients()
    assert {name: (client.secret, client.token_format, client.may_introspect) for name, client in clients.items()} == {
        "user-client-opaque": ("user-client-secret", "opaque", False),
        "user-client-jwt": ("user-client-secret", "jwt", False),
        "service-client-jwt": ("service-client-jwt-secret", "jwt", True),
    }
    assert clients["user-client-opaque"].scopes == ("country.read", "country.write", "profile")
    assert clients["user-client-opaque"].scopes == clients["user-client-jwt"].scopes


def test_by_default_a_client_gets_opaque_tokens_and_may_not_introspect() -> None:
    """The defaults are the safe values."""
    client = parse_clients(GOOD.encode(), "clients.yaml")["app"]
    assert (client.client_id, client.token_format, client.may_introspect) == ("app", "opaque", False)
    assert (client.scopes, client.audience) == (("read", "write"), ("api",))


def test_the_secret_is_not_in_the_repr() -> None:
    """A client that is printed by accident does not reveal its secret."""
    assert "s3cret" not in repr(parse_clients(GOOD.encode(), "clients.yaml"))


def test_an_entry_may_merge_another_and_override_its_keys() -> None:
    """Overriding a merged key (`<<`) is not a duplicate key."""
    text = GOOD.replace("app:", "app: &app") + "  other:\n    <<: *app\n    token_format: jwt\n    scopes: [admin]\n"
    clients = parse_clients(text.encode(), "clients.yaml")
    assert clients["other"].scopes == ("admin",)
    assert clients["other"].secret == clients["app"].secret


def test_all_errors_are_reported_at_once_with_their_lines() -> None:
    """One run of the server is enough to correct the file."""
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
    assert [problem for problem in error.value.problems if "duplicate" in problem] == [
        "my.yaml:8: app: duplicate key",
        "my.yaml:10: secret: duplicate key",
    ]
    others = [problem.split(": ")[:2] for problem in error.value.problems if "duplicate" not in problem]
    assert others == [
        ["my.yaml:8", "clients.app.audience"],
        ["my.yaml:14", "clients.other.may_introspect"],
        ["my.yaml:17", "clients.other.scopes.1"],
        ["my.yaml:19", "clients.third"],
        ["my.yaml:20", "colour"],
    ]


def test_all_errors_of_one_entry_are_reported_at_once() -> None:
    """A wrong type, an unknown value, an unknown key, a scope with a space, an empty list."""
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


def test_errors_contain_no_values_from_the_file() -> None:
    """A file with errors must not show its secrets on the screen."""
    text = GOOD.replace("s3cret", "[s3cret]").replace("[api]", "s3cret").replace("read", "s3 cret")
    with pytest.raises(ClientsError) as error:
        parse_clients(text.encode(), "my.yaml")
    assert len(error.value.problems) == 3
    assert "cret" not in "".join(traceback.format_exception(error.value)).replace(".secret", "")


@pytest.mark.parametrize(
    "secret", ["*s3cret", "!s3cret", "!s3cret!x", "!<s3cret> x", "!!s3cret x", "@s3cret", "'s3cret"]
)
def test_a_secret_that_is_not_valid_yaml_is_not_in_the_error(secret: str) -> None:
    """A random secret may begin with a special character of YAML."""
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
def test_a_file_of_another_kind_is_an_error_with_a_line(text: bytes, line: int) -> None:
    """Any content of the file leads to an error with its line."""
    with pytest.raises(ClientsError) as error:
        parse_clients(text, "my.yaml")
    assert error.value.problems[0].startswith(f"my.yaml:{line}: ")
