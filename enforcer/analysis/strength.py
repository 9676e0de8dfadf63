"""Compares two rules: the conditions of one that the other does not guarantee.

Rules are ordered only partly. Of two rules that require different scopes, neither is the weaker one: each allows
requests that the other denies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from enforcer.analysis.evaluator import PolicyRule
from enforcer.policy.conditions import Claim, Network, RequestCondition
from enforcer.policy.hierarchy import ScopeHierarchy
from enforcer.policy.requirement import Conjunction
from enforcer.policy.templates import Text, Variable


def not_required(by: PolicyRule, of: PolicyRule) -> str:
    """Name the conditions `of` a rule that are not met by every request that the other allows; empty if there are none.

    The text continues a sentence that ends in “does not require”.
    """
    return " and ".join(_not_required(by, of))


def _not_required(by: PolicyRule, of: PolicyRule) -> Iterator[str]:
    actual, wanted = by.requirement, of.requirement
    if actual.nobody:
        return
    if by.reports and not of.reports and not (wanted.public and not wanted.limited):
        yield "anything (mode: report)"
        return
    if wanted.nobody:
        yield "that nobody is allowed"
        return
    yield from _unlimited(actual, wanted)
    if wanted.public:
        return
    if actual.public:
        yield "a token"
        return
    yield from _unmet(actual, wanted)
    servers = frozenset(of.rule.authorization_servers)
    if _wider(frozenset(by.rule.authorization_servers), servers):
        yield f"authorization_server {' or '.join(sorted(servers))}"
    age = of.rule.max_answer_age
    if age is not None and (by.rule.max_answer_age is None or by.rule.max_answer_age > age):
        yield f"max_answer_age {age:g}s"
    if by.rule.on_outage == "stale" and of.rule.on_outage == "deny":
        yield "on_outage deny"


def _unlimited(actual: Conjunction, wanted: Conjunction) -> Iterator[str]:
    """Name the conditions on the request that are not guaranteed."""
    if wanted.addresses and not (actual.addresses and _within(actual.addresses, wanted.addresses)):
        yield f"addresses {' or '.join(map(str, wanted.addresses))}"
    for condition in wanted.request_conditions:
        if not any(_same(other, condition) for other in actual.request_conditions):
            yield f"{'query' if condition.source == '?' else 'headers'} {condition.name}"


def _unmet(actual: Conjunction, wanted: Conjunction) -> Iterator[str]:
    """Name the conditions on the token that are not guaranteed."""
    certain = _certain(actual, wanted.scope_hierarchy)
    own = _texts(actual.scope_texts)
    missing = {text.written for text in wanted.scope_texts if tuple(text.parts) not in own}
    if scopes := sorted({*wanted.scopes - certain, *missing}):
        yield f"scope {' and '.join(scopes)}"
    if wanted.any_scope or wanted.any_scope_texts:
        texts = _texts(wanted.any_scope_texts)
        written = {text.written for text in wanted.any_scope_texts}
        some = actual.any_scope or actual.any_scope_texts
        covered = some and actual.any_scope <= wanted.any_scope and _texts(actual.any_scope_texts) <= texts
        if wanted.any_scope.isdisjoint(certain) and texts.isdisjoint(own) and not covered:
            yield f"scope {' or '.join(sorted({*wanted.any_scope, *written}))}"
    for key in ("audience", "issuer", "client_ids", "acr"):
        if _wider(getattr(actual, key), allowed := getattr(wanted, key)):
            yield f"{key} {' or '.join(sorted(allowed))}"
    if wanted.max_auth_age is not None and (actual.max_auth_age is None or actual.max_auth_age > wanted.max_auth_age):
        yield f"max_auth_age {wanted.max_auth_age:g}s"
    for claim in wanted.claims:
        if not any(_implies(other, claim) for other in actual.claims):
            yield f"claim {claim.name}"
    if wanted.alternatives and not _guarantees_one(actual, wanted):
        yield "any_of"


def _certain(actual: Conjunction, hierarchy: ScopeHierarchy) -> frozenset[str]:
    """Return the scopes that every token has, or has another one instead that includes them."""
    certain = hierarchy.granted(actual.scopes)
    if len(actual.any_scope) == 1 and not actual.any_scope_texts:
        certain |= hierarchy.granted(actual.any_scope)
    if actual.alternatives:
        certain |= frozenset.intersection(*(_certain(each, hierarchy) for each in actual.alternatives))
    return certain


def _guarantees_one(actual: Conjunction, wanted: Conjunction) -> bool:
    """Return whether every request that meets `actual` meets an alternative of `wanted`."""
    if any(_stronger(actual, option) for option in wanted.alternatives):
        return True
    return bool(actual.alternatives) and all(
        any(_stronger(own, option) for option in wanted.alternatives) for own in actual.alternatives
    )


def _stronger(actual: Conjunction, wanted: Conjunction) -> bool:
    return not [*_unlimited(actual, wanted), *_unmet(actual, wanted)]


def _texts(texts: Iterable[Text]) -> frozenset[_Parts]:
    """Return the texts by their parts: `{x}` in two rules may be different parts of a request."""
    return frozenset(tuple(text.parts) for text in texts)


_Parts = tuple[bytes | Variable, ...]


def _within(networks: Sequence[Network], others: Sequence[Network]) -> bool:
    return all(
        any(type(own) is type(other) and own[0] in other and own[-1] in other for other in others) for own in networks
    )


def _same(condition: RequestCondition, other: RequestCondition) -> bool:
    """Return whether every request that meets a condition meets the other."""
    same = condition.variable == other.variable
    return same and _texts(condition.texts) <= _texts(other.texts)


def _wider(actual: frozenset[str], wanted: frozenset[str]) -> bool:
    """Return whether one of `actual`, or any value if it is empty, may be none of `wanted`."""
    return bool(wanted) and not (actual and actual <= wanted)


def _keys(claim: Claim) -> tuple[str | _Parts, ...]:
    return claim.keys if isinstance(claim.keys, tuple) else tuple(tuple(key.parts) for key in claim.keys)


def _implies(claim: Claim, other: Claim) -> bool:
    """Return whether every token that meets a condition meets the other."""
    if _keys(claim) != _keys(other):
        return False
    if other.test == "present":
        return claim.test != "absent"
    if claim.test != other.test:
        return False
    # Not as sets, because in Python True == 1.
    values = [(type(value), value) for value in claim.allowed] + [(Text, tuple(text.parts)) for text in claim.texts]
    others = [(type(value), value) for value in other.allowed] + [(Text, tuple(text.parts)) for text in other.texts]
    if other.test == "any":
        return all(value in others for value in values)
    return all(value in values for value in others)
