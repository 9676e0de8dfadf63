"""Compares an OpenAPI document with a policy: where a rule requires less than the document does.

Requests are sent to the policy's matcher for each operation, and for each rule at its own path: a rule that is more
specific than an operation must not require less either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from enforcer.analysis.evaluator import Policy, PolicyRule
from enforcer.analysis.openapi.outcome import entries_at, matches, missing
from enforcer.analysis.openapi.reader import Specification, sample_target
from enforcer.analysis.openapi.security import Needs
from enforcer.policy.matcher import Matcher, RequestPattern
from enforcer.policy.templates import HOST_NAME, Path
from enforcer.wire.target import parse


@dataclass(frozen=True, slots=True)
class Weaker:
    """A rule that requires less than the document for some requests; `lacks` names the requirements."""

    entry: PolicyRule
    label: str
    lacks: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between a document and a policy.

    `without_rule` are operations that no rule matches, `weaker` rules that require less, `without_operation` rules that
    no operation matches.
    """

    without_rule: tuple[str, ...]
    weaker: tuple[Weaker, ...]
    without_operation: tuple[PolicyRule, ...]

    def __bool__(self) -> bool:
        return bool(self.without_rule or self.weaker or self.without_operation)


def compare(specification: Specification, policy: Policy) -> Comparison:
    """Compare by the requests of each operation, for its server's host and for the host of every rule."""
    literals = {segment for entry in policy.entries for segment in entry.pattern.path.sample(b"")}
    sample = next(text for text in map("sample{}".format, count()) if text.encode() not in literals)
    hosts = {_sample_host(entry, sample) for entry in policy.entries if entry.rule.host is not None}
    without_rule = []
    pairs: list[tuple[PolicyRule, str, Needs | None]] = []
    for operation in specification.operations:
        label = f"{operation.method} {operation.path} ({operation.name})"
        target = sample_target(operation.path, sample)
        entries = entries_at(policy, operation.method, target, {operation.host, *hosts})
        pairs += [(entry, label, operation.needs) for entry in entries]
        without_rule += [] if entries else [label]
    for left_out in specification.left_out:
        matched = list(matches(policy, left_out, hosts | {""}, sample))
        pairs += [(entry, f"{left_out.label}, which was left out", left_out.needs) for entry in matched]
        without_rule += [] if matched else [f"{left_out.label}, which was left out: {left_out.detail}"]
    pairs += _at_rules(specification, policy, sample)
    weaker = {}
    for entry, label, needs in pairs:
        lacks = missing(entry, needs)
        if lacks:
            weaker[entry, label] = Weaker(entry, label, lacks)
    used = {entry for entry, _, _ in pairs}
    unused = tuple(entry for entry in policy.entries if entry not in used)
    return Comparison(tuple(without_rule), tuple(weaker.values()), unused)


def _sample_host(entry: PolicyRule, sample: str) -> str:
    return HOST_NAME.sub("*.", entry.rule.host or "").replace("*", sample)


def _at_rules(
    specification: Specification, policy: Policy, sample: str
) -> Iterator[tuple[PolicyRule, str, Needs | None]]:
    """Yield each rule with the operations that the document has at the rule's own path."""
    patterns = (
        (RequestPattern(Path.parse(each.path), (each.method,), None), each) for each in specification.operations
    )
    document = Matcher(patterns)
    methods = sorted({operation.method for operation in specification.operations})
    for entry in policy.entries:
        target = sample_target(entry.path.replace("/**", f"/{sample}"), sample)
        host = _sample_host(entry, sample)
        for method in entry.rule.methods or methods:
            if entry in entries_at(policy, method, target, {host}):
                operation = document.find(parse(target.encode()).segments, method.encode(), b"")
                if operation is not None:
                    yield entry, f"{method} {entry.path} ({operation.name})", operation.needs
