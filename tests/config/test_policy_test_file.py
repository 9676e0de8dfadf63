"""Files of policy tests: loaded, or all errors reported."""

from pathlib import Path

import pytest

from enforcer.analysis.policy_tests import REASONS, PolicyTest, TokenFacts
from enforcer.config.policy_test_file import load_policy_tests
from enforcer.errors import ConfigError

RULES = ["read countries", "write countries"]


def errors_of(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "tests.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_policy_tests(file, RULES)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in refused.value.problems]


def test_policy_tests_have_positions(tmp_path: Path) -> None:
    """A failed test is reported with its line."""
    file = tmp_path / "tests.yaml"
    file.write_text(
        """\
tokens:
  reader: {scope: country.read, aud: [x]}
tests:
  - name: one
    request: GET /a
    token: reader
    expect: allow
  - {name: two, request: PUT /b, token: {inactive: true}, expect: deny, rule: _none, reason: no_rule, status: 403}
""",
        encoding="utf-8",
    )
    cases, document = load_policy_tests(file, RULES)
    assert cases.tokens == {"reader": TokenFacts(scope="country.read", aud=("x",))}
    assert cases.tests == (
        PolicyTest(name="one", request="GET /a", token="reader", expect="allow"),
        PolicyTest(
            name="two",
            request="PUT /b",
            token=TokenFacts(inactive=True),
            expect="deny",
            rule="_none",
            reason="no_rule",
            status=403,
        ),
    )
    assert [document.place(("tests", index))[0] for index in range(2)] == [4, 8]


WRONG = """\
tokens:
  reader: {scopes: country.read}
  writer: {scope: [country.write]}
  nobody: {inactive: true, sub: x}
test: []
tests:
  - name: one
    request: GET /a
    tokn: reader
    expect: allow
  - name: two
    request: /a
    expect: deny
  - name: three
    request: GET /a
    expect: maybe
    token: 7
  - name: four
    request: GET /a
  - name: five
    request: GET /a
    expect: deny
    token: {client: x}
  - name: six
    request: GET /a
    expect: deny
    token: {inactive: true, scope: x}
    status: 403
  - name: seven
    request: GET /a
    expect: deny
    reason: no_scope
"""


def test_all_errors_are_reported_at_once_with_their_lines(tmp_path: Path) -> None:
    """As for a configuration."""
    assert errors_of(tmp_path, WRONG) == [
        'tests.yaml:2:12: tokens.reader: unknown key "scopes"; did you mean "scope"?',
        "tests.yaml:3:12: tokens.writer.scope: expected text, found a list",
        "tests.yaml:4:3: tokens.nobody: an inactive token has no other member",
        'tests.yaml:5:1: unknown key "test"; did you mean "tests"?',
        'tests.yaml:9:5: tests[0]: unknown key "tokn"; did you mean "token"?',
        "tests.yaml:11:5: tests[1]: request: expected a method, a space and a path, such as GET /ms-system/country",
        'tests.yaml:16:13: tests[2].expect: expected allow, deny or would_deny, found "maybe"',
        "tests.yaml:17:12: tests[2].token: expected a mapping or text, found 7",
        'tests.yaml:18:5: tests[3]: missing key "expect": Expected decision',
        'tests.yaml:23:13: tests[4].token: unknown key "client"; did you mean "client_id"?',
        "tests.yaml:27:5: tests[5].token: an inactive token has no other member",
        f"tests.yaml:29:5: tests[6]: reason: expected one of {', '.join(REASONS)}",
    ]


NAMES = """\
tokens:
  none: {scope: a}
  reader: {scope: country.read}
tests:
  - {name: one, request: GET /a, expect: deny, token: raeder}
  - {name: one, request: GET /a, expect: deny, rule: read country}
  - {name: two, request: GET /a, expect: deny, rule: other}
"""


def test_unknown_and_duplicate_names_are_errors(tmp_path: Path) -> None:
    """The message suggests the name that was probably meant."""
    assert errors_of(tmp_path, NAMES) == [
        'tests.yaml:2:3: tokens: "none" is reserved: choose another name',
        'tests.yaml:5:55: tests[0].token: no token is called "raeder"; did you mean "reader"?',
        'tests.yaml:6:5: tests[1]: duplicate name "one"; first used at tests.yaml:5:5',
        'tests.yaml:6:54: tests[1].rule: no rule is called "read country"; did you mean "read countries"?',
        'tests.yaml:7:54: tests[2].rule: no rule is called "other"; known: _none, read countries, write countries',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "tests.yaml:1:1: the file is empty"),
        ("tokens: {}", 'tests.yaml:1:1: missing key "tests": The tests'),
        ("tests: []", "tests.yaml:1:1: tests: expected at least one"),
        ("tests: [", "tests.yaml:2:1: not YAML:"),
    ],
)
def test_a_file_without_tests_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    """It would pass without testing anything."""
    (error,) = errors_of(tmp_path, text)
    assert error.startswith(message)


def test_a_missing_file_is_one_error(tmp_path: Path) -> None:
    """The message has the path as given."""
    with pytest.raises(ConfigError) as refused:
        load_policy_tests(tmp_path / "none.yaml", RULES)
    assert str(refused.value) == f"{tmp_path}/none.yaml: cannot be read: No such file or directory"
