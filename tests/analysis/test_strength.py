"""The comparison of two rules: the conditions of one that the other does not guarantee."""

from __future__ import annotations

from typing import Any

import pytest
from harness.policies import NOW, policy
from hypothesis import given
from hypothesis import strategies as st

from enforcer.analysis.strength import not_required
from enforcer.policy.decision import Allow, decide
from enforcer.policy.request_view import RequestView
from enforcer.tokens.claims import read_claims

A: dict[str, Any] = {"authenticated": True}


def compared(by: dict[str, Any], of: dict[str, Any]) -> str:
    """Compare the rule `by` with the rule `of`; both match a path and everything below it."""
    entries = policy({"path": "/{tenant}/**", **by}, {"path": "/{tenant}/a", "mode": "enforce", **of}).entries
    return not_required(entries[0], entries[1])


@pytest.mark.parametrize(
    ("by", "of", "text"),
    [
        ({"public": True}, A, "a token"),
        ({"public": True}, {"scopes": ["a"]}, "a token"),
        ({"mode": "report", **A}, A, "anything (mode: report)"),
        (A, {"scopes": ["a", "b"]}, "scope a and b"),
        ({"scopes": ["a"]}, {"scopes": ["b"]}, "scope b"),
        ({"any_scope": ["a", "b"]}, {"scopes": ["a"]}, "scope a"),
        ({"any_scope": ["a", "b"]}, {"any_scope": ["a"]}, "scope a"),
        ({"any_scope": ["a", "c"]}, {"any_scope": ["a", "b"]}, "scope a or b"),
        ({"audience": ["x", "y"]}, {"audience": ["x"]}, "audience x"),
        (A, {"issuer": ["y", "x"]}, "issuer x or y"),
        ({"client_ids": ["x"]}, {"client_ids": ["y"]}, "client_ids y"),
        (A, {"claims": {"x": 1}}, "claim x"),
        ({"claims": {"x": [1, 2]}}, {"claims": {"x": 1}}, "claim x"),
        ({"claims": {"x": True}}, {"claims": {"x": 1}}, "claim x"),
        ({"claims": {"x": "acme"}}, {"claims": {"x": "{tenant}"}}, "claim x"),
        ({"authorization_server": "other", **A}, {"authorization_server": "own", **A}, "authorization_server own"),
        (A, {"max_answer_age": "5s", **A}, "max_answer_age 5s"),
        ({"max_answer_age": "6s", **A}, {"max_answer_age": "5s", **A}, "max_answer_age 5s"),
        ({"on_outage": "stale", **A}, A, "on_outage deny"),
        ({"scopes": ["a"]}, {"scopes": ["b"], "audience": ["x"]}, "scope b and audience x"),
        ({"any_scope": ["a", "a:{tenant}"]}, {"scopes": ["a"]}, "scope a"),
        ({"any_of": [{"scopes": ["a"]}, {"claims": {"x": 1}}]}, {"scopes": ["a"]}, "scope a"),
        ({"any_of": [{"scopes": ["a", "b"]}, {"scopes": ["a", "c"]}]}, {"scopes": ["a", "b"]}, "scope b"),
    ],
)
def test_conditions_that_are_not_guaranteed_are_named(by: dict[str, Any], of: dict[str, Any], text: str) -> None:
    """Also if the other rule has other conditions."""
    assert compared(by, of) == text


@pytest.mark.parametrize(
    ("by", "of"),
    [
        ({"public": True}, {"public": True}),
        ({"scopes": ["a"]}, {"public": True}),
        ({"scopes": ["a"]}, A),
        ({"scopes": ["a", "b"]}, {"scopes": ["b"]}),
        ({"scopes": ["a"]}, {"any_scope": ["a", "b"]}),
        ({"any_scope": ["a"]}, {"scopes": ["a"]}),
        ({"any_scope": ["a", "b"]}, {"any_scope": ["a", "b", "c"]}),
        ({"any_of": [{"scopes": ["a", "b"]}, {"scopes": ["a"], "claims": {"x": 1}}]}, {"scopes": ["a"]}),
        ({"any_of": [{"scopes": ["a", "b"]}, {"any_scope": ["a"]}]}, {"any_scope": ["a", "c"]}),
        ({"audience": ["x"]}, {"audience": ["x", "y"]}),
        ({"claims": {"x": 1}}, {"claims": {"x": [1, 2]}}),
        ({"claims": {"x": "{tenant}", "y": 1}}, {"claims": {"x": "{tenant}"}}),
        ({"max_answer_age": "5s", **A}, {"max_answer_age": "6s", **A}),
        (A, {"on_outage": "stale", **A}),
        (A, {"mode": "report", **A}),
    ],
)
def test_conditions_that_are_met_by_all_are_not_named(by: dict[str, Any], of: dict[str, Any]) -> None:
    """The other rule has the same conditions, stricter ones, or more."""
    assert compared(by, of) == ""


_NAMES = st.lists(st.sampled_from("ab"), min_size=1, max_size=2, unique=True)
_CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "scopes": _NAMES,
        "any_scope": _NAMES,
        "audience": _NAMES,
        "client_ids": _NAMES,
        "claims": st.dictionaries(st.sampled_from("xy"), st.sampled_from([1, True, "a", ["a", "b"]]), min_size=1),
    },
)
_TOKENS = st.fixed_dictionaries(
    {"scope": st.sampled_from(["", "a", "b", "a b"]), "aud": st.sampled_from(["a", "b"])},
    optional={"client_id": st.sampled_from("ab"), "x": st.sampled_from([1, True, "a"]), "y": st.sampled_from([1, "b"])},
)


@given(by=_CONDITIONS, of=_CONDITIONS, token=_TOKENS)
def test_nothing_is_named_only_if_no_token_passes_one_rule_and_not_the_other(
    by: dict[str, Any], of: dict[str, Any], token: dict[str, Any]
) -> None:
    """As the request path decides it."""
    entries = policy({"path": "/a", **(by or A)}, {"path": "/b", **(of or A)}).entries
    result = read_claims({"active": True, **token})
    allowed, other = (
        isinstance(decide(entry.requirement, result, RequestView([b"a"]), NOW), Allow) for entry in entries
    )
    assert not allowed or other or not_required(entries[0], entries[1])


@pytest.mark.parametrize("key", ["claims", "scopes", "any_scope", "query"])
def test_a_placeholder_is_compared_by_what_it_stands_for(key: str) -> None:
    """`{x}` in two rules may be two segments, and one segment may have two names."""
    conditions: dict[str, Any] = {"claims": {"c": "{x}"}, "scopes": ["s:{x}"], "any_scope": ["s:{x}"]}
    wanted = conditions.get(key, {"c": "{x}"})
    renamed = [text.replace("x", "y") for text in wanted] if isinstance(wanted, list) else {"c": "{y}"}
    of = {"path": "/{x}/{y}", "authenticated": True, key: wanted}
    assert compared({"path": "/{y}/{x}", "authenticated": True, key: wanted}, of) != ""
    assert compared({"path": "/{y}/{x}", "authenticated": True, key: renamed}, of) == ""
