"""Validation of the remaining keys of rules that have invalid ones."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from enforcer.config.model import ADAPTER
from enforcer.config.validate.partial import PartialValidation
from enforcer.policy.rules import Rule

SERVERS = [{"verify": "jwt", "issuer": "https://as.example.org"}]
VALID: dict[str, Any] = {"name": "valid", "path": "/valid", "authenticated": True}


def errors_of(rules: Any) -> list[ErrorDetails]:
    with pytest.raises(ValidationError) as refused:
        ADAPTER.validate_python({"authorization_servers": SERVERS, "rules": rules})
    return refused.value.errors(include_url=False)


def partial(*rules: Any) -> PartialValidation:
    return PartialValidation(list(rules), errors_of(list(rules)))


def test_valid_rules_are_kept_at_their_indexes() -> None:
    """An invalid rule between them does not shift them, because positions are found by index."""
    result = partial(VALID, {"name": "invalid", "path": 7}, {**VALID, "name": "other"})
    assert {index: rule.name for index, rule in result.rules.items()} == {0: "valid", 2: "other"}
    assert result.rules[0] == TypeAdapter(Rule).validate_python(VALID)
    assert result.faults == []


@pytest.mark.parametrize(
    ("key", "value"), [("max_answer_age", 5), ("on_outage", "never"), ("scopes", "a"), ("public", "yes"), ("mode", 1)]
)
def test_a_rule_can_be_compared_if_its_compared_keys_are_valid(key: str, value: object) -> None:
    """So that a conflict with another rule is reported in the same run."""
    result = partial({"name": "a", "path": "/a", "methods": ["GET"], "authenticated": True, key: value})
    assert [(rule.name, rule.path, rule.methods) for rule in result.rules.values()] == [("a", "/a", ("GET",))]


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", 7), ("path", 7), ("methods", "GET"), ("host", 7), ("upstream", 7), ("authorization_server", 7)],
)
def test_a_rule_with_an_invalid_compared_key_is_left_out(key: str, value: object) -> None:
    """Its default would match other requests, and cause conflicts that do not exist."""
    assert partial({**VALID, key: value}).rules == {}


def test_a_rule_with_an_unknown_key_is_left_out() -> None:
    """The key may be a misspelled `methods`: without it, the rule would seem to match every method."""
    result = partial({**VALID, "methds": ["GET"]})
    assert (result.rules, result.faults) == ({}, [])


def test_errors_that_an_invalid_key_hides_are_faults() -> None:
    """Pydantic checks the keys together only if each is valid by itself."""
    result = partial(
        {"name": "a", "path": "a", "authenticated": True, "on_outage": "never"},
        {"name": "b", "path": "/b", "scopes": ["x y"], "max_answer_age": 5},
    )
    assert [path for path, _ in result.faults] == [("rules", 0, "path"), ("rules", 1, "scopes", 0)]
    assert result.faults[0][1] == "a path begins with /"
    assert result.rules == {}


@pytest.mark.parametrize(
    "rule",
    [
        {"name": "a", "path": "/a", "scopes": 7},
        {"name": "a", "path": "/a", "scops": ["x"]},
        {"name": "a", "path": 7, "claims": {"tenant": "{tenant}"}},
        {"path": "/a", "scopes": ["x"]},
        {"name": "a", "scopes": ["x"]},
    ],
)
def test_an_invalid_or_missing_key_causes_no_second_error(rule: dict[str, Any]) -> None:
    """A rule without its only condition, or its path, would otherwise be reported again for that."""
    assert partial(rule).faults == []


def test_a_missing_condition_is_reported_despite_another_invalid_key() -> None:
    """The invalid key is not a condition."""
    ((path, message),) = partial({"name": "a", "path": "/a", "on_outage": "never"}).faults
    assert path[:2] == ("rules", 0)
    assert message.startswith("allows nobody")


@pytest.mark.parametrize("rules", [None, 7, "all", {"name": "a"}, [7], ["a", None]])
def test_rules_that_are_not_mappings_are_left_out(rules: Any) -> None:
    """Their errors are reported already."""
    result = PartialValidation(rules, errors_of(rules))
    assert (result.rules, result.faults) == ({}, [])


def test_errors_elsewhere_leave_every_rule() -> None:
    """Conflicts are found even if another section is invalid."""
    with pytest.raises(ValidationError) as refused:
        ADAPTER.validate_python({"authorization_servers": SERVERS, "rules": [VALID], "limits": {"fields": 0}})
    result = PartialValidation([VALID], refused.value.errors(include_url=False))
    assert list(result.rules) == [0]
