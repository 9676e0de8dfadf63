"""Compares two rules: the conditions of one that the other does not guarantee.

Rules are ordered only partly. Of two rules that require different scopes, neither is the weaker one: each allows
requests that the other denies.
"""

from __future__ import annotations

from collections.abc import Iterator

from enforcer.analysis.evaluator import PolicyRule
from enforcer.policy.rules import Claim


def not_required(by: PolicyRule, of: PolicyRule) -> str:
    """Name the conditions `of` a rule that are not met by every request that the other allows; empty if there are none.

    The text continues a sentence that ends in “does not require”.
    """
    return " and ".join(_not_required(by, of))


def _not_required(by: PolicyRule, of: PolicyRule) -> Iterator[str]:
    actual, wanted = by.requirement, of.requirement
    if wanted.public:
        return
    if by.reports and not of.reports:
        yield "anything (mode: report)"
        return
    if actual.public:
        yield "a token"
        return
    if scopes := sorted(wanted.scopes - _certain(actual.scopes, actual.any_scope)):
        yield f"scope {' and '.join(scopes)}"
    if wanted.any_scope.isdisjoint(actual.scopes) and _wider(actual.any_scope, wanted.any_scope):
        yield f"scope {' or '.join(sorted(wanted.any_scope))}"
    for key in ("audience", "issuer", "client_ids"):
        if _wider(getattr(actual, key), allowed := getattr(wanted, key)):
            yield f"{key} {' or '.join(sorted(allowed))}"
    for claim in wanted.claims:
        if not any(_implies(other, claim) for other in actual.claims):
            yield f"claim {claim.name}"
    servers = frozenset(of.rule.authorization_servers)
    if _wider(frozenset(by.rule.authorization_servers), servers):
        yield f"authorization_server {' or '.join(sorted(servers))}"
    age = of.rule.max_answer_age
    if age is not None and (by.rule.max_answer_age is None or by.rule.max_answer_age > age):
        yield f"max_answer_age {age:g}s"
    if by.rule.on_outage == "stale" and of.rule.on_outage == "deny":
        yield "on_outage deny"


def _certain(scopes: frozenset[str], any_scope: frozenset[str]) -> frozenset[str]:
    """Return the scopes that every allowed token has."""
    return scopes | any_scope if len(any_scope) == 1 else scopes


def _wider(actual: frozenset[str], wanted: frozenset[str]) -> bool:
    """Return whether one of `actual`, or any value if it is empty, may be none of `wanted`."""
    return bool(wanted) and not (actual and actual <= wanted)


def _implies(claim: Claim, other: Claim) -> bool:
    """Return whether every token that meets a condition meets the other."""
    if claim.name != other.name or claim.segment != other.segment:
        return False
    # Not as sets, because in Python True == 1.
    allowed = [(type(value), value) for value in other.allowed]
    return all((type(value), value) in allowed for value in claim.allowed)
