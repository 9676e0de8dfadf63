"""The rules that the requests of an operation match."""

from __future__ import annotations

import pytest
from harness.policies import policy

from enforcer.analysis.openapi.nodes import Cause
from enforcer.analysis.openapi.outcome import Samples, missing
from enforcer.analysis.openapi.reader import LeftOut
from enforcer.analysis.openapi.security import Needs


def matched(left_out: LeftOut, *paths: str, methods: tuple[str, ...] = ()) -> list[str]:
    rules = policy(*({"path": path, "public": True, "methods": methods} for path in paths))
    return [entry.rule.name for entry in Samples(rules, left_out.paths).of_left_out(left_out)]


def left_out(*paths: str, methods: tuple[str, ...] = ("GET",)) -> LeftOut:
    return LeftOut("", methods, paths, None, Cause.PATH, "")


def test_the_matcher_finds_the_rules_of_an_omitted_operation() -> None:
    """For each of its methods and paths; a malformed request matches none."""
    operation = left_out("/a/{t}:do", "/b/{x}", "/a//b", "/a/%00", "/c", methods=("GET", "PUT", "NO"))
    assert {*matched(operation, "/a/{x}", methods=("GET",))} == {"/a/{x}"}
    assert {*matched(operation, "/a/{x}", "/b/**")} == {"/a/{x}", "/b/**"}
    assert matched(operation, "/d/{x}") == []


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/a/{x}", "/{y}/a"),
        ("/a/{x}", "/{y}/a{z}"),
        ("/a/{x}.json", "/{y}/v{z}"),
        ("/{x}{y}", "/{z}.json"),
        ("/a/{x}/c", "/{y}/b/**"),
        ("/{a}-{b}-{c}", "/v{x}-"),
    ],
)
def test_a_rule_that_matches_some_of_the_requests_and_others_is_found(path: str, rule: str) -> None:
    """Otherwise it would allow them with its own conditions."""
    expected = [] if path == "/{x}{y}" else [rule]
    assert [*dict.fromkeys(matched(left_out(path), rule))] == expected


def test_a_rule_for_a_part_of_the_requests_is_that_of_a_more_specific_operation() -> None:
    """And what such a rule matches does not reach a wider one."""
    assert matched(left_out("/users/{id}"), "/users/me", "/users/{x}.json") == []
    assert {*matched(left_out("/a/{x}"), "/a/b", "/{y}/b")} == set()


def test_the_requirements_that_a_rule_does_not_have_are_named() -> None:
    """No rule has an unknown requirement."""
    (entry,) = policy({"path": "/a", "any_scope": ["r", "s"]}).entries
    assert missing(entry, Needs()) == ""
    assert missing(entry, Needs(any_scope=("r", "s", "t"))) == ""
    assert missing(entry, Needs(scopes=("r",))) == "scope r"
    assert missing(entry, None) == "what the operation requires, which is unknown"
