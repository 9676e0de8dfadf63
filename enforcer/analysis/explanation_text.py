"""Writes an explanation as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from enforcer.analysis.candidates import Candidate, Choice
from enforcer.analysis.explain import Explanation, RefusalSummary
from enforcer.analysis.rule_yaml import printable


def write(explanation: Explanation) -> str:
    """Return an explanation as text, ending in a line break."""
    host = f"  host {explanation.host}" if explanation.host else ""
    preflight = f"  preflight for {explanation.preflight}" if explanation.preflight else ""
    lines = [f"{explanation.method} {explanation.target}{host}{preflight}"]
    if explanation.path is not None:
        lines += [f"path: {explanation.path}", *_readings(explanation)]
        if explanation.parting is None:
            lines += ["", *_rules(explanation.candidates)]
    if explanation.conditions:
        lines += ["", f'conditions of rule "{explanation.judgement.rule}":']
        lines += _table(
            (_mark(condition.met), condition.name, f"needed: {condition.needed}", f"there: {condition.there}")
            for condition in explanation.conditions
        )
    if explanation.others:
        lines += ["", "also named by fields of the request, and decided with the same token:"]
        lines += _table(
            ("-" if other.allowed is None else _mark(other.allowed), other.method, other.target, _rule(other.rule))
            for other in explanation.others
        )
    result = explanation.judgement
    lines += ["", f"decision: {result.decision}, {result.reason}"]
    if explanation.own:
        lines.append("answer: the enforcer's own")
    elif result.reply is None:
        app = "the app's" if explanation.upstream is None else f"that of upstream {explanation.upstream}"
        lines.append(f"answer: {app}{'' if result.enforced is None else ' (report mode)'}")
    for label, reply in (("answer", result.reply), ("enforced", result.enforced)):
        if reply is not None:
            lines += _refusal(label, reply)
    return "".join(f"{printable(line)}\n" for line in lines)


def _readings(explanation: Explanation) -> list[str]:
    if not explanation.readings and explanation.parting is None:
        return []
    rows = [
        (reading.path, _rule(reading.rule), "" if reading.counts else "does not count, because of encoded")
        for reading in explanation.readings
    ]
    parted = [] if explanation.parting is None else [explanation.parting]
    return ["", "readings of this path, as far as rules tell them apart:", *_table(rows), *parted] if rows else parted


def _rule(name: str | None) -> str:
    return "no rule" if name is None else f'rule "{name}"'


def _rules(candidates: Sequence[Candidate]) -> list[str]:
    if not candidates:
        return ["no rule matches this path"]
    rows = (
        (_mark(rule.choice is Choice.CHOSEN), f'"{rule.rule}"', rule.where, rule.path, rule.why) for rule in candidates
    )
    return ["rules that match this path, the most specific first:", *_table(rows)]


def _refusal(label: str, reply: RefusalSummary) -> list[str]:
    lines = [f"{label}: {reply.status}, {reply.detail}"]
    lines += [f"  WWW-Authenticate: {challenge}" for challenge in reply.challenges]
    if reply.retry_after is not None:
        lines.append(f"  Retry-After: {reply.retry_after}")
    return lines


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    filled = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*filled, strict=True)]
    return [
        f"  {'  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()}" for row in filled
    ]


def _mark(passed: bool) -> str:
    return "✓" if passed else "✗"
