"""The rules that the requests of an operation match."""

from __future__ import annotations

from harness.policies import policy

from enforcer.analysis.openapi.nodes import Cause
from enforcer.analysis.openapi.outcome import matches, missing
from enforcer.analysis.openapi.reader import LeftOut
from enforcer.analysis.openapi.security import Needs


def test_the_matcher_finds_the_rules_of_an_omitted_operation() -> None:
    """For each of its methods and paths; a malformed request matches none."""
    rules = policy({"path": "/a/{x}", "public": True, "methods": ["GET"]}, {"path": "/b/**", "public": True})
    left_out = LeftOut("", ("GET", "PUT"), ("/a/{t}:do", "/b/{x}", "/a//b", "/c"), None, Cause.PATH, "")
    assert [entry.rule.name for entry in matches(rules, left_out)] == ["/a/{x}", "/b/**", "/b/**"]


def test_the_requirements_that_a_rule_does_not_have_are_named() -> None:
    """No rule has an unknown requirement."""
    (entry,) = policy({"path": "/a", "any_scope": ["r", "s"]}).entries
    assert missing(entry, Needs()) == ""
    assert missing(entry, Needs(any_scope=("r", "s", "t"))) == ""
    assert missing(entry, Needs(scopes=("r",))) == "scope r"
    assert missing(entry, None) == "what the operation requires, which is unknown"
