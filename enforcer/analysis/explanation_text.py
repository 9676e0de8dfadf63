"""An explanation in words, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from enforcer.analysis.explain import Candidate, Choice, Explanation, Reply
from enforcer.analysis.rule_yaml import printable


def write(explanation: Explanation) -> str:
    """Write an explanation for people, ending in a line break."""
    host = f"  host {explanation.host}" if explanation.host else ""
    preflight = f"  preflight for {explanation.preflight}" if explanation.preflight else ""
    lines = [f"{explanation.method} {explanation.target}{host}{preflight}"]
    if explanation.path is not None:
        lines += [f"path: {explanation.path}", "", *_rules(explanation.candidates)]
    if explanation.conditions:
        lines += ["", f'conditions of rule "{explanation.judgement.rule}":']
        lines += _table(
            (_mark(one.met), one.name, f"needed: {one.needed}", f"there: {one.there}") for one in explanation.conditions
        )
    judgement = explanation.judgement
    lines += ["", f"decision: {judgement.decision}, {judgement.reason}"]
    if judgement.reply is None:
        app = "the app's" if explanation.upstream is None else f"that of upstream {explanation.upstream}"
        lines.append(f"answer: {app}{'' if judgement.enforced is None else ', since this only reports'}")
    for what, reply in (("answer", judgement.reply), ("enforced", judgement.enforced)):
        if reply is not None:
            lines += _answer(what, reply)
    return "".join(f"{printable(line)}\n" for line in lines)


def _rules(candidates: Sequence[Candidate]) -> list[str]:
    if not candidates:
        return ["no rule has this path"]
    rows = ((_mark(one.choice is Choice.CHOSEN), f'"{one.rule}"', one.where, one.path, one.why) for one in candidates)
    return ["rules with this path, the most specific first:", *_table(rows)]


def _answer(what: str, reply: Reply) -> list[str]:
    lines = [f"{what}: {reply.status}, {reply.detail}"]
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


def _mark(right: bool) -> str:
    return "✓" if right else "✗"
