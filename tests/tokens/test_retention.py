"""The part of a verification result that is cached."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.tokens.claims import ActiveToken, read_claims
from enforcer.tokens.retention import Retention, restored

NAMES = ["tenant", "realm.roles", "level"]


def reduce(**claims: Any) -> ActiveToken:
    return Retention(NAMES, {}).reduce(read_claims(claims))


def test_only_claims_that_are_read_are_kept() -> None:
    """A dotted name is a claim within another one, which is not kept whole. The key of a bound token is always read."""
    claims = {"tenant": "t", "realm": {"roles": ["a"], "other": "x" * 1000}, "jti": "7", "cnf": {"jkt": "k"}}
    token = reduce(sub="joe", **claims)
    assert token.claims == {"tenant": "t", "realm.roles": ["a"], "cnf": {"jkt": "k"}}
    assert (token.subject, token.bound) == ("joe", True)


@pytest.mark.parametrize("names", [[], ["my.app"]])
def test_a_dot_in_a_key_separates_nothing(names: list[str]) -> None:
    """A nested value must not pass for a claim with the dotted key, whichever conditions read both."""
    retention = Retention(names, {}, ["my.app"])
    assert "my.app" not in retention.reduce(read_claims({"my": {"app": {"level": "admin"}}})).claims
    literal = {"my.app": {"level": "admin"}}
    assert retention.reduce(read_claims(literal)).claims == literal


def test_claims_that_were_kept_in_another_way_do_not_serve() -> None:
    """A nested value under a dotted name is not a claim of that name."""
    dotted, whole = Retention(["my.app"], {}), Retention([], {}, ["my.app"])
    both = Retention(["my.app"], {}, ["my.app"])
    assert not whole.is_served_by(dotted)
    assert not both.is_served_by(dotted)
    assert whole.is_served_by(both)
    assert not Retention([], {"X-App": "my.app"}).is_served_by(dotted)
    assert not Retention([], {"X-App": "my.app"}).is_served_by(whole)
    assert not Retention([], {"X-App": "/my/app"}).is_served_by(dotted)
    assert Retention([], {"X-Tenant": "tenant"}).is_served_by(Retention(["tenant"], {}))
    assert Retention(["my"], {}).is_served_by(Retention([], {}, ["my"]))


def test_the_other_members_of_a_token_are_the_same() -> None:
    """Every decision on a reduced token is that on the whole one."""
    token = read_claims(
        {"sub": "s", "client_id": "c", "iss": "i", "aud": ["a"], "scope": "r w", "exp": 9, "nbf": 1, "tenant": 1}
    )
    reduced = Retention(NAMES, {}).reduce(token)
    names = ("scopes", "expires", "subject", "client_id", "issuer", "audience", "bound")
    assert [getattr(reduced, name) for name in names] == [getattr(token, name) for name in names]


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", ["1"], None])
def test_a_claim_keeps_its_type(value: object) -> None:
    """Rules tell 1 from true: equal tokens share only text."""
    for other in (1, True, 1.0, "1"):
        reduce(level=other)
    level = reduce(level=value).claims.get("level")
    assert (level, type(level)) == (value, type(value))


def test_what_many_tokens_have_in_common_is_held_once() -> None:
    """It costs the later tokens nothing; their subjects do."""
    claims = {"client_id": "the shared app", "iss": "the issuer", "aud": ["the app"], "scope": "s1 s2", "tenant": "t"}
    first, second = (reduce(sub=name, **claims) for name in ("joe", "ann"))
    for name in ("client_id", "issuer", "audience", "scopes", "claims"):
        assert getattr(first, name) is getattr(second, name)
    assert second.size < 100


def test_a_reduced_token_is_reduced_to_itself() -> None:
    """So that a reload that copies the cache allocates little."""
    token = reduce(sub="joe", scope="a", tenant=["x"])
    assert Retention(NAMES, {}).reduce(token) is token


@pytest.mark.parametrize("name", ["aud", "scope", "tenant", "iss", "client_id", "sub"])
def test_large_values_count(name: str) -> None:
    """In every member that is kept."""
    values = [f"{number}x" for number in range(1000)]
    value: Any = values if name in ("aud", "scope", "tenant") else " ".join(values)
    assert reduce(**{name: value}).size > 4000


def test_standard_claims_are_restored_from_the_other_members() -> None:
    """For identity fields that a reload changed."""
    token = reduce(sub="s", client_id="c", iss="i", scope="r w", tenant="t", jti="7")
    assert restored(token).claims == {"sub": "s", "client_id": "c", "iss": "i", "scope": "r w", "tenant": "t"}
    assert restored(reduce(tenant="t")).claims == {"tenant": "t"}
