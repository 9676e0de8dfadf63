"""Error messages: pydantic's errors in the words of a configuration's author."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from enforcer.config.documents.document import parse
from enforcer.config.model import ADAPTER
from enforcer.config.schema import Shape, shape
from enforcer.config.validate.messages import problems, suggestion

BASE = """\
upstream: {url: http://app}
authorization_servers: [{verify: jwt, issuer: https://as.example.org}]
rules: [{name: a, path: /a, authenticated: true}]
"""
"""Three lines, so that the text of a test begins in line 4."""


def messages(text: str, base: str = BASE) -> list[str]:
    """Return each problem, without the file's name, in order of position."""
    document = parse("file", f"{base}{text}".encode())
    with pytest.raises(ValidationError) as refused:
        ADAPTER.validate_python(document.values)
    errors = refused.value.errors(include_url=False)
    ordered = sorted(problems(errors, document, shape), key=lambda problem: (problem.line, problem.column))
    return [str(problem).removeprefix("file:") for problem in ordered]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log: {level: loud}", '4:14: log.level: expected debug, info, warning or error, found "loud"'),
        ("log: 7", "4:6: log: expected a mapping, found 7"),
        ("log: {levle: info}", '4:7: log: unknown key "levle"; did you mean "level"?'),
        ("lgo: {}", '4:1: unknown key "lgo"; did you mean "log"?'),
        ("cache: {ttl: 5}", "4:14: cache.ttl: expected a duration such as 250ms, 5s, 2m or 1h, found 5"),
        ("cache: {ttl: 0s}", '4:14: cache.ttl: expected a duration of more than 0s, found "0s"'),
        ("limits: {fields: ten}", '4:18: limits.fields: expected a whole number of at least 1, found "ten"'),
        ("limits: {head: 1KB}", '4:16: limits.head: expected a size such as 512B, 64KiB, 1MiB or 1GiB, found "1KB"'),
        ("rule_files: ['']", '4:14: rule_files[0]: expected text, found ""'),
        ("rule_files: x", '4:13: rule_files: expected a list, found "x"'),
        ("challenge: {scope: 'yes'}", '4:20: challenge.scope: expected true or false, found "yes"'),
    ],
)
def test_a_message_has_position_path_expectation_and_value(text: str, message: str) -> None:
    """In the format of compilers, so that an editor can jump to it."""
    assert messages(text) == [message]


def test_an_error_of_a_missing_key_explains_the_key() -> None:
    """At the mapping that lacks it, with the first sentence of the key's description."""
    base = BASE.replace("name: a, ", "")
    assert messages("", base) == ['3:9: rules[0]: missing key "name": Unique name: a metric label and a log field']


def test_an_empty_list_is_reported_as_empty() -> None:
    """If at least one entry is required."""
    base = BASE.replace("[{verify: jwt, issuer: https://as.example.org}]", "[]")
    assert messages("", base) == ["2:1: authorization_servers: expected at least one, found an empty list"]


def test_one_setting_with_several_errors_has_several_problems() -> None:
    """Each at its own position below the setting."""
    text = 'forwarding: {identity: {Host: sub, X-A: ""}}'
    lines = messages(text)
    assert [line.partition(": ")[0] for line in lines] == ["4:31", "4:41"]
    assert "forwarding.identity.Host: this field has a meaning of its own" in lines[0]
    assert lines[1].endswith('forwarding.identity.X-A: expected the name of a claim, found ""')


def test_a_value_of_several_possible_types_has_one_problem() -> None:
    """Pydantic reports an error for each type; the deepest one is shown."""
    base = BASE.replace("authenticated: true", "claims: {a: [[1]]}")
    (line,) = messages("", base)
    assert line == "3:42: rules[0].claims.a[0]: expected text, a whole number or true or false, found a list"


def test_a_value_that_is_not_valid_yaml_is_not_reported_again() -> None:
    """The parser has reported it."""
    document = parse("file", f"{BASE}log: !tag {{}}\n".encode())
    assert document.problems
    with pytest.raises(ValidationError) as refused:
        ADAPTER.validate_python(document.values)
    assert list(problems(refused.value.errors(include_url=False), document, shape)) == []


def test_the_shape_is_computed_only_if_a_message_needs_it() -> None:
    """It costs more than reading a small file."""

    def unexpected() -> Shape:
        raise AssertionError("not needed")

    document = parse("file", f"{BASE}cache: {{ttl: 5}}\n".encode())
    with pytest.raises(ValidationError) as refused:
        ADAPTER.validate_python(document.values)
    (problem,) = problems(refused.value.errors(include_url=False), document, unexpected)
    assert problem.path == "cache.ttl"


@pytest.mark.parametrize(
    ("wrong", "known", "text"),
    [
        ("methds", ["path", "methods", "mode"], 'did you mean "methods"?'),
        ("xyz", ["path", "methods"], "known: path, methods"),
        ("reader", ["reade", "readers"], 'did you mean "readers"?'),
    ],
)
def test_a_suggestion_is_the_nearest_name_or_all_names(wrong: str, known: list[str], text: str) -> None:
    """A distant name would mislead."""
    assert suggestion(wrong, known) == text
