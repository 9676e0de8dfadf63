"""Proposes rules from a decision log that was recorded in report mode, when no request was refused.

1. Only requests with an active token lead to a rule; no proposed rule is public.
2. The same decisions lead to the same proposal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from enforcer.analysis.path_templates import PathTemplates
from enforcer.analysis.rule_yaml import Proposal, comment, unique_name, write
from enforcer.decision_log.record import LogLine
from enforcer.errors import MalformedRequestError
from enforcer.policy.decision import NO_ANSWER, Reason
from enforcer.policy.rules import UNSERVED, Rule
from enforcer.policy.templates import escaped
from enforcer.tokens.claims import read_claims
from enforcer.wire.fields import METHODS
from enforcer.wire.target import parse_segments

MAX_SEGMENTS: Final = 32
"""Maximum number of segments of a path that leads to a rule."""
_MANY: Final = 100
"""Maximum number of clients, or scopes, counted for a template."""
_FEW: Final = 5
"""Maximum number of clients, or scopes, listed by name."""

# Reasons with a valid token: if a rule denied the request, it required more than an active token.
_GOOD: Final = {Reason.OK, Reason.NO_RULE, Reason.INSUFFICIENT_SCOPE, Reason.CLIENT_MISMATCH, Reason.CLAIM_MISMATCH}
_UNSEEN: Final = {Reason.MISSING_TOKEN, Reason.NO_RULE}
"""Reasons of requests without a token, or whose token was not verified."""


@dataclass(slots=True)
class _MethodUse:
    """The requests with one method. `common` are the scopes that all tokens had, `seen` those of any token."""

    count: int = 0
    common: frozenset[str] | None = None
    seen: set[str] = field(default_factory=set)
    clients: set[str] = field(default_factory=set)

    def add(self, other: _MethodUse) -> None:
        self.count += other.count
        if other.common is not None:
            self.common = other.common if self.common is None else self.common & other.common
        if len(self.seen) < _MANY:
            self.seen |= other.seen
        if len(self.clients) < _MANY:
            self.clients |= other.clients


@dataclass(slots=True)
class _TemplateUse:
    """The requests that match one template, by method."""

    methods: dict[str, _MethodUse] = field(default_factory=dict)

    def add(self, other: _TemplateUse) -> None:
        for method, use in other.methods.items():
            self.methods.setdefault(method, _MethodUse()).add(use)


class Learner:
    """Collects decisions, and proposes rules that would have allowed them."""

    def __init__(self) -> None:
        self._good: PathTemplates[_TemplateUse] = PathTemplates(_TemplateUse)
        # Separate, because anybody can request these paths.
        self._without_token: PathTemplates[_TemplateUse] = PathTemplates(_TemplateUse)
        self._decisions = 0
        self._skipped: Counter[str] = Counter()
        self._unreadable: Counter[str] = Counter()

    def take(self, record: LogLine | None) -> None:
        """Add one line of a log; None stands for a line that is not a decision."""
        skipped = "lines that are not decisions" if record is None else _skip_reason(record)
        if record is None or skipped:
            self._skipped[skipped] += 1
            if record is not None and record.reason == "unreadable_path" and record.path:
                path = record.path if record.path in self._unreadable or len(self._unreadable) < _MANY else "others"
                self._unreadable[path] += 1
            return
        self._decisions += 1
        scopes = None if record.scopes is None else read_claims({"scope": list(record.scopes)}).scopes
        use = _MethodUse(1, scopes, set(scopes or ()), set() if record.client_id is None else {record.client_id})
        # RFC 9110 §9.3.2: a rule for GET matches HEAD too.
        method = "GET" if record.method == "HEAD" else record.method
        templates = self._without_token if scopes is None else self._good
        templates.at(_segments(record.path)).methods.setdefault(method, _MethodUse()).add(use)

    def propose(self) -> str:
        """Return the proposed rules as YAML, with comments for the person who reviews them."""
        head = [
            f"Proposed from {_number(self._decisions, 'decision')}. Not every request that was sent should be",
            "allowed: review each rule before you use it, and give it a name that says what it is for.",
            *(f"Skipped, {cause}: {count}" for cause, count in sorted(self._skipped.items())),
        ]
        return "\n".join([*comment(head), "", write(self._proposals()), *comment(self._open_questions()), ""])

    def _proposals(self) -> Iterator[Proposal]:
        names: set[str] = set()
        for path, uses in self._good:
            by_scopes = sorted(uses.methods.items(), key=lambda item: (sorted(item[1].common or ()), item[0]))
            for scopes, group in groupby(by_scopes, key=lambda item: sorted(item[1].common or ())):
                methods = dict(group)
                name = unique_name(f"{' '.join(methods)} {path}", names)
                rule = Rule(
                    name=name,
                    path=path,
                    methods=tuple(methods),
                    scopes=tuple(map(escaped, scopes)),
                    authenticated=not scopes,
                )
                yield Proposal(rule, tuple(_comments(methods, bool(scopes))))

    def _open_questions(self) -> Iterator[str]:
        if self._unreadable:
            yield "Refused by every policy, because parsers read these paths differently; check if the app needs them:"
            for path, count in sorted(self._unreadable.items(), key=lambda item: (-item[1], item[0])):
                yield f"  {_number(count, 'time')} {_printable(path)}"
        if lines := [
            f"  {_number(use.count, 'time')} {method} {path}"
            for path, uses in self._without_token
            for method, use in sorted(uses.methods.items())
        ]:
            yield "Requested without a token, and so without a rule; if everybody may, write one with `public: true`:"
            yield from lines


def _skip_reason(record: LogLine) -> str:
    """Return why a decision leads to no rule; empty if it may lead to one."""
    if record.decision in ("deny", "error"):
        return "requests that were refused"
    if record.reason == Reason.PUBLIC:
        return "requests under public rules"
    if record.reason == Reason.PREFLIGHT:
        return "CORS preflights"
    if record.reason in NO_ANSWER:
        return "requests whose token could not be verified"
    if record.reason not in (_UNSEEN if record.scopes is None else _GOOD):
        return "requests with a token that is not valid"
    served = record.method in METHODS and record.method.encode() not in UNSERVED
    return "" if served and _segments(record.path) else "requests that no rule can match"


def _segments(path: str) -> list[bytes]:
    try:
        segments = parse_segments(path.encode("utf-8", "surrogatepass")) if path.startswith("/") else []
    except MalformedRequestError:
        return []
    return segments if len(segments) <= MAX_SEGMENTS else []


def _comments(methods: dict[str, _MethodUse], has_scopes: bool) -> Iterator[str]:
    whole = _MethodUse()
    for use in methods.values():
        whole.add(use)
    each = f" ({', '.join(f'{method} {use.count}' for method, use in methods.items())})" if len(methods) > 1 else ""
    clients = f", {_named(whole.clients, 'client')}" if whole.clients else ""
    yield f"{_number(whole.count, 'request')}{each}{clients}"
    if not has_scopes:
        yield (
            f"no scope was in every token; seen: {_named(whole.seen, 'scope')}" if whole.seen else "no token had scopes"
        )


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def _named(names: set[str], what: str) -> str:
    if len(names) > _FEW:
        return f"{_MANY} {what}s or more" if len(names) >= _MANY else f"{len(names)} {what}s"
    return f"{what}{'' if len(names) == 1 else 's'} {', '.join(sorted(names))}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
