"""Scopes that include others."""

from __future__ import annotations

from enforcer.policy.hierarchy import NO_HIERARCHY, ScopeHierarchy, closure_steps

GITHUB = ScopeHierarchy({"admin": ["repo"], "repo": ["public_repo", "repo:status"], "a": ["b"], "b": ["a"]})


def test_a_scope_includes_others_through_several_steps() -> None:
    """A circle includes each other member, without an error."""
    assert GITHUB.including("public_repo") == {"repo", "admin"}
    assert GITHUB.including("admin") == frozenset()
    assert (GITHUB.including("a"), GITHUB.including("b")) == (frozenset("b"), frozenset("a"))
    assert GITHUB.granted(frozenset({"admin", "x"})) == {"admin", "x", "repo", "public_repo", "repo:status"}


def test_the_least_scope_includes_no_other_one() -> None:
    """A client that asks for more than it needs gets too much."""
    assert GITHUB.least(["admin", "repo", "public_repo", "repo:status"]) == "public_repo"
    assert GITHUB.least(["a", "b"]) == "a"
    assert NO_HIERARCHY.least(["write", "admin"]) == "write"
    assert NO_HIERARCHY.least([]) is None


def test_the_steps_are_counted_up_to_a_maximum() -> None:
    """A chain of scopes includes as many as the square of its length, and is not walked to its end."""
    chain = {f"s{number}": [f"s{number + 1}"] for number in range(1000)}
    assert closure_steps({"a": ["b", "c"], "b": ["c"]}, 100) == 9
    assert closure_steps(chain, 10**9) > 500_000
    assert 5000 < closure_steps(chain, 5000) < 5010
    assert closure_steps({"a": ["b"], "b": ["a"]}, 100) == 8
