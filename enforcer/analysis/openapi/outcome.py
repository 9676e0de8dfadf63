"""Finds the rules that the requests of an operation match, and the requirements that these rules do not have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product
from typing import Final

from enforcer.analysis.evaluator import Policy, PolicyRequest, PolicyRule
from enforcer.analysis.openapi.reader import LeftOut, Operation, rule_of, sample_target
from enforcer.analysis.openapi.security import Needs
from enforcer.analysis.strength import not_required
from enforcer.errors import MalformedRequestError

SAMPLE: Final = "sample0"
"""A value of a parameter."""


def entries_at(policy: Policy, method: str, target: str, hosts: Iterable[str]) -> list[PolicyRule]:
    """Return the rules that a request matches at one of the hosts; none if it is malformed."""
    try:
        entries = [policy.locate(PolicyRequest(method, target, host)).entry for host in hosts]
    except MalformedRequestError:
        return []
    return list(dict.fromkeys(entry for entry in entries if entry is not None))


def matches(
    policy: Policy, left_out: LeftOut, hosts: Iterable[str] = ("",), sample: str = SAMPLE
) -> Iterator[PolicyRule]:
    """Yield the rules that requests of an operation match."""
    for path, method in product(left_out.paths, left_out.methods):
        yield from entries_at(policy, method, sample_target(path, sample), hosts)


def missing(entry: PolicyRule, needs: Needs | None) -> str:
    """Name the requirements of an operation that a rule does not have; empty if it has all."""
    return "what the operation requires, which is unknown" if needs is None else not_required(entry, _entry(needs))


@lru_cache(maxsize=1024)
def _entry(needs: Needs) -> PolicyRule:
    operation = Operation("operation", "", "GET", "/", "", needs, ())
    (entry,) = Policy([(rule_of("operation", [operation]), "")]).entries
    return entry
