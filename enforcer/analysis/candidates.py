"""The candidates of a request: the rules whose path matches, and why each was chosen or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from enforcer.analysis.evaluator import Policy, PolicyRule, RoutedRequest
from enforcer.policy.matcher import Matcher, RequestPattern


class Choice(StrEnum):
    """Why a rule whose path matches was chosen or not."""

    CHOSEN = "chosen"
    METHOD = "other_method"
    HOST = "other_host"
    OUTDONE = "outdone"  # a rule for the same path has a more specific method or host
    WIDER = "less_specific"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule whose path matches, and why it was chosen or not."""

    rule: str
    where: str
    path: str
    choice: Choice
    why: str


def candidates(policy: Policy, located: RoutedRequest) -> Iterator[Candidate]:
    """Yield the rules whose path matches: those that match the host too, the most specific first, then the others.

    Each is matched by itself, by its path, by its host and by its method.
    """
    method = located.preflighted or located.method

    def matches(entry: PolicyRule, host: str | None, methods: tuple[str, ...] | None) -> bool:
        alone = Matcher([(RequestPattern(entry.pattern.path, methods or (), host), entry)])
        if methods is None:
            return alone.matches(located.target.segments, located.host) is not None
        return alone.find(located.target.segments, method, located.host) is not None

    def candidate(entry: PolicyRule, choice: Choice, why: str) -> Candidate:
        return Candidate(entry.rule.name, entry.where, entry.path, choice, why)

    entries = policy.entries
    if located.entry is not None and located.entry.own:
        entries = (located.entry, *entries)
    with_path = sorted(
        (entry for entry in entries if matches(entry, None, None)), key=lambda entry: entry.pattern.path.rank
    )
    with_host = [entry for entry in with_path if matches(entry, entry.rule.host, None)]
    for entry in with_host:
        rule, top = entry.rule, with_host[0]
        if entry is located.entry:
            yield candidate(entry, Choice.CHOSEN, "chosen")
        elif entry.pattern.path.rank != top.pattern.path.rank:
            yield candidate(entry, Choice.WIDER, f"less specific than {top.path}")
        elif not matches(entry, None, rule.methods):
            served = ", ".join(rule.methods) or "every other method"
            yield candidate(entry, Choice.METHOD, f"not for {method.decode()}: for {served}")
        else:
            chosen = "" if located.entry is None else located.entry.rule.name
            yield candidate(entry, Choice.OUTDONE, f'rule "{chosen}" has a more specific host or method')
    host = f"host {located.host.decode()}" if located.host else "no host"
    for entry in with_path:
        if entry not in with_host:
            yield candidate(entry, Choice.HOST, f"not for {host}: for {entry.rule.host}")
