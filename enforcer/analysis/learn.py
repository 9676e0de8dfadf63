"""Rules proposed from what was asked: from the decisions of a time when a person watched, and nothing was refused.

1. Only requests with an active token make a rule; none is ever public.
2. The same decisions make the same proposal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from enforcer.analysis.path_templates import Places
from enforcer.analysis.rule_yaml import Proposal, comment, unique_name, write
from enforcer.decision_log.record import LogLine
from enforcer.errors import MalformedRequestError
from enforcer.policy.decision import NO_ANSWER, Reason
from enforcer.policy.rules import UNSERVED, Rule
from enforcer.tokens.introspection.response import from_claims
from enforcer.wire.fields import METHODS
from enforcer.wire.target import parse_segments

MOST_SEGMENTS: Final = 32
"""Segments of a path that makes a rule."""
_MANY: Final = 100
"""Clients, or scopes, of a place that are counted."""
_FEW: Final = 5
"""Clients, or scopes, of a place that are named."""

# What comes of a token that is good: where a rule refused, it asked for more than an active token.
_GOOD: Final = {Reason.OK, Reason.NO_RULE, Reason.INSUFFICIENT_SCOPE, Reason.CLIENT_MISMATCH, Reason.CLAIM_MISMATCH}
_UNSEEN: Final = {Reason.MISSING_TOKEN, Reason.NO_RULE}
"""What comes of a request whose token, if it had one, was not looked at."""


@dataclass(slots=True)
class _Asked:
    """What was asked by one method at one place. `common` are the scopes of every token, `seen` those of any."""

    count: int = 0
    common: frozenset[str] | None = None
    seen: set[str] = field(default_factory=set)
    clients: set[str] = field(default_factory=set)

    def add(self, other: _Asked) -> None:
        self.count += other.count
        if other.common is not None:
            self.common = other.common if self.common is None else self.common & other.common
        if len(self.seen) < _MANY:
            self.seen |= other.seen
        if len(self.clients) < _MANY:
            self.clients |= other.clients


@dataclass(slots=True)
class _Uses:
    """What was asked at one place, by method."""

    methods: dict[str, _Asked] = field(default_factory=dict)

    def add(self, other: _Uses) -> None:
        for method, asked in other.methods.items():
            self.methods.setdefault(method, _Asked()).add(asked)


class Learner:
    """Takes decisions, and proposes rules by which they would have been allowed."""

    def __init__(self) -> None:
        self._good: Places[_Uses] = Places(_Uses)
        # Apart, since strangers choose these paths.
        self._without_token: Places[_Uses] = Places(_Uses)
        self._decisions = 0
        self._left_out: Counter[str] = Counter()

    def take(self, record: LogLine | None) -> None:
        """Take one line of a log; None is one that is no decision."""
        left_out = "lines that are no decisions" if record is None else _left_out(record)
        if record is None or left_out:
            self._left_out[left_out] += 1
            return
        self._decisions += 1
        scopes = None if record.scopes is None else from_claims({"scope": list(record.scopes)}).scopes
        asked = _Asked(1, scopes, set(scopes or ()), set() if record.client_id is None else {record.client_id})
        # RFC 9110 §9.3.2: a rule for GET is one for HEAD
        method = "GET" if record.method == "HEAD" else record.method
        places = self._without_token if scopes is None else self._good
        places.at(_segments(record.path)).methods.setdefault(method, _Asked()).add(asked)

    def propose(self) -> str:
        """Write the proposed rules as YAML, with what a person should know of them."""
        head = [
            f"Proposed from {_number(self._decisions, 'decision')}. What was asked is not what should be allowed:",
            "look at each rule before you use it, and give it a name that says what it is for.",
            *(f"Left out, {what}: {count}" for what, count in sorted(self._left_out.items())),
        ]
        return "\n".join([*comment(head), "", write(self._proposals()), *comment(self._open_questions()), ""])

    def _proposals(self) -> Iterator[Proposal]:
        names: set[str] = set()
        for path, uses in self._good:
            by_scopes = sorted(uses.methods.items(), key=lambda one: (sorted(one[1].common or ()), one[0]))
            for scopes, group in groupby(by_scopes, key=lambda one: sorted(one[1].common or ())):
                asked = dict(group)
                name = unique_name(f"{' '.join(asked)} {path}", names)
                rule = Rule(name=name, path=path, methods=tuple(asked), scopes=tuple(scopes), authenticated=not scopes)
                yield Proposal(rule, tuple(_comments(asked, bool(scopes))))

    def _open_questions(self) -> Iterator[str]:
        if asked := [
            f"  {_number(asked.count, 'time')} {method} {path}"
            for path, uses in self._without_token
            for method, asked in sorted(uses.methods.items())
        ]:
            yield "Without a token, and so without a rule; where everybody may pass, write one with `public: true`:"
            yield from asked


def _left_out(record: LogLine) -> str:
    """Say why a decision makes no rule; nothing where it may make one."""
    if record.decision in ("deny", "error"):
        return "requests that were refused"
    if record.reason == Reason.PUBLIC:
        return "requests under public rules"
    if record.reason == Reason.PREFLIGHT:
        return "CORS preflights"
    if record.reason in NO_ANSWER:
        return "requests whose token could not be looked up"
    if record.reason not in (_UNSEEN if record.scopes is None else _GOOD):
        return "requests with a token that is not good"
    served = record.method in METHODS and record.method.encode() not in UNSERVED
    return "" if served and _segments(record.path) else "requests that no rule can be for"


def _segments(path: str) -> list[bytes]:
    try:
        segments = parse_segments(path.encode("utf-8", "surrogatepass")) if path.startswith("/") else []
    except MalformedRequestError:
        return []
    return segments if len(segments) <= MOST_SEGMENTS else []


def _comments(asked: dict[str, _Asked], has_scopes: bool) -> Iterator[str]:
    whole = _Asked()
    for one in asked.values():
        whole.add(one)
    each = f" ({', '.join(f'{method} {one.count}' for method, one in asked.items())})" if len(asked) > 1 else ""
    clients = f", {_named(whole.clients, 'client')}" if whole.clients else ""
    yield f"{_number(whole.count, 'request')}{each}{clients}"
    if not has_scopes:
        yield (
            f"no scope was in every token; seen: {_named(whole.seen, 'scope')}" if whole.seen else "no token had scopes"
        )


def _named(names: set[str], what: str) -> str:
    if len(names) > _FEW:
        return f"{_MANY} {what}s or more" if len(names) >= _MANY else f"{len(names)} {what}s"
    return f"{what}{'' if len(names) == 1 else 's'} {', '.join(sorted(names))}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
