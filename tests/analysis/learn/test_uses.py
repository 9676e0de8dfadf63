"""Records of requests: which scopes and which subject a rule for them requires."""

from __future__ import annotations

from collections import Counter

import pytest

from enforcer.analysis.learn.uses import MANY, MethodUse, ScopeNeed, TemplateUse


def use(*tokens: str, client: str = "web", subjects: tuple[str, ...] = (), own: int = 0) -> MethodUse:
    """Return the record of requests whose tokens had these scopes."""
    whole = MethodUse()
    for index, scopes in enumerate(tokens):
        subject = subjects[index % len(subjects)] if subjects else None
        whole.add(
            MethodUse(
                1,
                frozenset(scopes.split()),
                Counter([frozenset(scopes.split())]),
                {client},
                {(client, subject)},
                Counter([1] if index < own else []),
            )
        )
    return whole


@pytest.mark.parametrize(
    ("tokens", "others", "need"),
    [
        (["a b"] * 3, [], ScopeNeed(("a", "b"))),
        (["a openid"], ["b openid"], ScopeNeed(("a",))),
        (["openid profile"], [], ScopeNeed()),
        (["a base", "a base x"], ["base"], ScopeNeed(("a",))),
        (["a b"], ["a", "b"], ScopeNeed(("a", "b"))),
        (["a"] * 19 + ["b"], [], ScopeNeed(("a",), (), 1)),
        (["a", "b"], ["c"], ScopeNeed((), ("a", "b"))),
        (["a", "b"], [], ScopeNeed()),
        (["a", "b", "c", "d"], ["e"], ScopeNeed()),
        (["a", ""], ["c"], ScopeNeed()),
        (["a"] * 18 + ["b", ""], ["c"] * 9, ScopeNeed((), ("a", "b"), 1)),
    ],
)
def test_the_need_is_the_least_that_the_tokens_had_and_others_did_not(
    tokens: list[str], others: list[str], need: ScopeNeed
) -> None:
    """No scope about the user is a condition. A choice of scopes is one only if it excludes some tokens of the app."""
    population = Counter(frozenset(scopes.split()) for scopes in (*tokens, *others))
    assert use(*tokens).need(population) == need


def test_tokens_that_vary_too_much_are_known_by_what_they_share() -> None:
    """Memory is bounded."""
    whole = use(*(f"a s{number}" for number in range(MANY + 1)))
    assert whole.tokens is None
    assert whole.need(Counter()) == ScopeNeed(("a",))
    assert use(*(f"s{number}" for number in range(MANY + 1))).need(Counter()) == ScopeNeed()


def test_requests_stand_out_by_a_scope_that_is_improbable_by_chance() -> None:
    """More holders of tokens with the scope make it less probable."""
    some = use(*["read"] * 9, "read write", subjects=("x",))
    rare, often = use("read admin"), use("read write")
    assert rare.stands_out(_sum(some, rare))
    assert not often.stands_out(_sum(some, often))
    three_subjects = use(*["read write"] * 3, subjects=("x", "y", "z"))
    assert three_subjects.stands_out(_sum(some, three_subjects))
    varied = use(*(f"s{number}" for number in range(MANY + 1)))
    assert rare.stands_out(_sum(varied, rare))


@pytest.mark.parametrize(("own", "subjects", "depth"), [(8, ("x", "y"), 1), (7, ("x", "y"), None), (8, ("x",), None)])
def test_a_segment_is_the_subject_if_it_always_was(own: int, subjects: tuple[str, ...], depth: int | None) -> None:
    """For more than one of them, in enough requests."""
    assert use(*["a"] * 8, subjects=subjects, own=own).own_depth() == depth


def test_a_record_counts_by_host_and_method() -> None:
    """And can forget the hosts."""
    uses = TemplateUse()
    for place in (("a", "GET"), ("b", "GET"), ("b", "PUT")):
        uses.record(place, use("r w"))
    assert (uses.count, uses.kinds) == (3, {"GET": 2, "PUT": 1})
    assert uses.traits == {("GET", "r"): 2, ("GET", "w"): 2, ("PUT", "r"): 1, ("PUT", "w"): 1}
    assert {method: each.count for method, each in uses.by_method(["b"]).items()} == {"GET": 1, "PUT": 1}
    uses.forget_hosts()
    assert {place: each.count for place, each in uses.places.items()} == {("", "GET"): 2, ("", "PUT"): 1}


def _sum(*uses: MethodUse) -> MethodUse:
    whole = MethodUse()
    for each in uses:
        whole.add(each)
    return whole


def test_the_name_of_a_scope_set_is_no_condition() -> None:
    """In a rule, `$name` would stand for other scopes."""
    use = MethodUse(2, frozenset({"$x"}), Counter({frozenset({"$x"}): 1, frozenset({"$x", "a"}): 1}))
    assert use.need(Counter()) == ScopeNeed()
