"""Proposes rules for the operations of an OpenAPI document: one for all paths with the same requirement and methods.

No proposed rule allows a request of an operation that was left out with less than that operation requires: a rule that
would is left out too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from enforcer.analysis.evaluator import Policy, PolicyRule
from enforcer.analysis.openapi.nodes import Cause
from enforcer.analysis.openapi.outcome import Samples, missing
from enforcer.analysis.openapi.reader import (
    LeftOut,
    Operation,
    Shape,
    Specification,
    left_out_operation,
    rule_of,
    shape,
)
from enforcer.analysis.openapi.security import Needs
from enforcer.analysis.rule_yaml import Proposal, unique_name

_NAMED: Final = 3
"""Maximum number of operations that a rule is named after; if there are more, its tags are its name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An operation that was left out, and a rule that requests of it match nevertheless; None if they are refused."""

    left_out: LeftOut
    entry: PolicyRule | None

    def __str__(self) -> str:
        taken = "" if self.entry is None else f'; requests of it match rule "{self.entry.rule.name}"'
        return f"{self.left_out.label}: {self.left_out.detail}{taken}"


@dataclass(frozen=True, slots=True)
class Proposed:
    """The proposed rules, and what becomes of the operations that were left out."""

    rules: tuple[Proposal, ...]
    left_out: tuple[Outcome, ...]


def propose(specification: Specification) -> Proposed:
    """Return the rules of a document."""
    operations, left_out = _without_weaker(specification)
    rules = tuple(_grouped(operations))
    policy = Policy((proposal.rule, "") for proposal in rules)
    samples = _samples(policy, left_out)
    outcomes = (Outcome(each, next(samples.of_left_out(each), None)) for each in left_out)
    return Proposed(rules, tuple(outcomes))


def _samples(policy: Policy, left_out: Iterable[LeftOut]) -> Samples:
    return Samples(policy, (path for each in left_out for path in each.paths))


def _without_weaker(specification: Specification) -> tuple[list[Operation], list[LeftOut]]:
    operations, left_out = [*specification.operations], [*specification.left_out]
    new = left_out
    while new:
        policy = Policy((rule_of("operation", [operation]), "") for operation in operations)
        by_entry = dict(zip(policy.entries, operations, strict=True))
        weaker: dict[PolicyRule, LeftOut] = {}
        samples = _samples(policy, left_out)
        for each in left_out:
            for entry in samples.of_left_out(each):
                if missing(entry, each.needs):
                    weaker.setdefault(entry, each)
        new = [
            left_out_operation(by_entry[entry], by_entry[entry].needs, Cause.WEAKER, f"a rule would allow {each.label}")
            for entry, each in weaker.items()
        ]
        operations = [operation for entry, operation in by_entry.items() if entry not in weaker]
        left_out += new
    return operations, left_out


def _grouped(operations: Iterable[Operation]) -> Iterator[Proposal]:
    by_path: defaultdict[tuple[Shape, Needs, tuple[str, ...]], list[Operation]] = defaultdict(list)
    for operation in operations:
        by_path[shape(operation.path), operation.needs, operation.comments].append(operation)
    by_needs: defaultdict[tuple[Needs, tuple[str, ...], tuple[str, ...]], list[Operation]] = defaultdict(list)
    for (_, needs, comments), group in by_path.items():
        path = group[0].path
        methods = tuple(operation.method for operation in group)
        by_needs[needs, comments, methods] += [replace(operation, path=path) for operation in group]
    taken: set[str] = set()
    for (_, comments, methods), group in by_needs.items():
        yield Proposal(rule_of(unique_name(_name(group, methods), taken), group), comments)


def _name(group: list[Operation], methods: tuple[str, ...]) -> str:
    names = list(dict.fromkeys(operation.name for operation in group))
    tags = list(dict.fromkeys(operation.tag for operation in group if operation.tag))
    if len(names) <= _NAMED or not tags:
        return ", ".join(names)
    more = f" and {len(tags) - _NAMED} more" if len(tags) > _NAMED else ""
    return f"{' '.join(methods)} of {', '.join(tags[:_NAMED])}{more}"
