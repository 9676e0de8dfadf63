"""Proposes rules from a decision log that was recorded in report mode, when no request was refused.

1. Only requests with an active token lead to a rule; no proposed rule is public.
2. A request that the app refused, or had nothing for, leads to no rule.
3. The same decisions lead to the same proposal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from enforcer.analysis.learn.delimiters import kept_delimiters
from enforcer.analysis.learn.hosts import MAX_HOSTS, host_name
from enforcer.analysis.learn.path_templates import PathTemplates
from enforcer.analysis.learn.proposals import number, proposed_rules
from enforcer.analysis.learn.uses import MANY, MethodUse, TemplateUse
from enforcer.analysis.rule_yaml import Proposal, comment, write
from enforcer.decision_log.record import LogLine
from enforcer.errors import MalformedRequestError
from enforcer.policy.decision import NO_ANSWER, WOULD_DENY, Reason
from enforcer.policy.matcher import Matcher, RequestPattern
from enforcer.policy.rules import UNSERVED, Rule
from enforcer.policy.templates import Path
from enforcer.tokens.claims import read_claims
from enforcer.wire.fields import METHODS
from enforcer.wire.target import read_path

MAX_SEGMENTS: Final = 32
"""Maximum number of segments of a path that leads to a rule."""
_LISTED: Final = 50
"""Maximum number of paths listed for one question."""
_NOT_FOUND: Final = frozenset((404, 405, 410, 501))
"""Statuses of an app that has nothing for a request."""
_REFUSED: Final = frozenset((401, 403))
"""Statuses of an app that refuses a request itself: its token shows nothing about what the app requires."""

# Reasons with a valid token: if a rule denied the request, it required more than an active token.
_GOOD: Final = {
    *(Reason.OK, Reason.NO_RULE, Reason.INSUFFICIENT_SCOPE, Reason.INSUFFICIENT_AUTHENTICATION),
    *(Reason.CLIENT_MISMATCH, Reason.CLAIM_MISMATCH, Reason.REQUEST_MISMATCH),
}
_UNSEEN: Final = {Reason.MISSING_TOKEN, Reason.NO_RULE}
"""Reasons of requests without a token, or whose token was not verified."""


class Learner:
    """Collects decisions, and proposes rules that would have allowed them."""

    def __init__(self) -> None:
        self._good: PathTemplates[TemplateUse] = PathTemplates(TemplateUse)
        # Separate, because anybody can request these paths.
        self._without_token: PathTemplates[TemplateUse] = PathTemplates(TemplateUse)
        self._not_found: PathTemplates[TemplateUse] = PathTemplates(TemplateUse)
        self._hosts: set[str] = set()
        self._decisions = 0
        self.has_decisions = False
        """Whether a line was a decision, also if it leads to no rule."""
        self._skipped: Counter[str] = Counter()
        self._unreadable: Counter[str] = Counter()
        self._ambiguous: Counter[str] = Counter()
        self._encoded: PathTemplates[TemplateUse] = PathTemplates(TemplateUse)

    def take(self, record: LogLine | None) -> None:
        """Add one line of a log; None stands for a line that is not a decision."""
        self.has_decisions = self.has_decisions or record is not None
        skipped = "lines that are not decisions" if record is None else _skip_reason(record)
        if record is None or skipped:
            self._skipped[skipped] += 1
            if record is not None and record.path:
                if record.reason == "unreadable_path":
                    _count(self._unreadable, record.path)
                elif skipped == _AMBIGUOUS:
                    self._take_ambiguous(record)
            return
        self._decisions += 1
        method, segments = _method(record), _segments(record.path)
        if record.status in _NOT_FOUND:
            self._not_found.record_of(segments).record(("", method), MethodUse(1))
        elif record.scopes is None:
            self._without_token.record_of(segments).record(("", method), MethodUse(1))
        else:
            self._good.record_of(segments).record(
                (self._host(record.host), method), _use(record, record.scopes, segments)
            )

    def propose(self) -> str:
        """Return the proposed rules as YAML, with comments for the person who reviews them.

        No decision can be added afterwards.
        """
        for templates in (self._good, self._without_token, self._not_found, self._encoded):
            templates.generalize()
        rules = [*proposed_rules([*self._good])]
        allowed, refused = sum(rule.allowed for rule in rules), sum(rule.refused for rule in rules)
        ambiguous = sum(rule.ambiguous for rule in rules)
        lacking = f", and refuse {refused} whose token lacked the scope" if refused else ""
        head = [
            f"Proposed from {number(self._decisions, 'decision')}. Not every request that was sent should be",
            "allowed: review each rule before you use it, and give it a name that says what it is for.",
            f"The rules allow {number(allowed, 'request')}{lacking}.",
            *([f"Whether {number(ambiguous, 'more request')} may pass depends on `encoded`."] if ambiguous else []),
            *(f"Skipped, {cause}: {count}" for cause, count in sorted(self._skipped.items())),
        ]
        if len(self._hosts) > MAX_HOSTS:
            head.append(f"The requests had more than {MAX_HOSTS} hosts, and so no rule has a host.")
        proposals = [rule.proposal for rule in rules]
        return "\n".join([*comment(head), "", write(proposals), *comment(self._open_questions(proposals)), ""])

    def _host(self, value: str | None) -> str:
        if len(self._hosts) > MAX_HOSTS:
            return ""
        host = host_name(value)
        self._hosts.add(host)
        if len(self._hosts) > MAX_HOSTS:
            for _, use in self._good:
                use.forget_hosts()
            return ""
        return host

    def _take_ambiguous(self, record: LogLine) -> None:
        segments = _segments(record.path)
        delimiters = kept_delimiters(record.path, segments)
        if delimiters:
            use = MethodUse(1, delimiters=Counter([delimiters]))
            self._encoded.record_of(segments).record(("", _method(record)), use)
        else:
            _count(self._ambiguous, record.path)

    def _open_questions(self, proposals: Iterable[Proposal]) -> Iterator[str]:
        if self._unreadable:
            yield "Refused by every policy, whatever its rules:"
            yield from _listed([(count, path) for path, count in self._unreadable.items()])
        if self._ambiguous:
            yield "Parsers read these paths differently. Such a path passes only if all its readings match the same"
            yield "rule, as below `**`:"
            yield from _listed([(count, path) for path, count in self._ambiguous.items()])
        uses = [(path, *item) for path, use in self._encoded for item in use.by_method().items()]
        if uses:
            yield "Refused, or without a token: some apps end a segment at the encoded delimiter in it. If the app"
            yield "keeps it in the segment, add the key to the rule for the path, and to the rules around it:"
            yield from _listed([(use.count, f"{method} {path}, {use.encoded}") for path, method, use in uses])
        if lines := _counts(self._without_token):
            yield "Requested without a token, and so without a rule; if everybody may, write one with `public: true`:"
            yield from _listed(lines)
        if lines := _counts(_without_rule(self._not_found, [proposal.rule for proposal in proposals])):
            yield "Without a rule, because the app had nothing there (404, 405, 410, 501):"
            yield from _listed(lines)


def _count(paths: Counter[str], path: str) -> None:
    paths[path if path in paths or len(paths) < MANY else "others"] += 1


def _counts(templates: Iterable[tuple[str, TemplateUse]]) -> list[tuple[int, str]]:
    return [(use.count, f"{method} {path}") for path, uses in templates for method, use in uses.by_method().items()]


def _without_rule(
    templates: Iterable[tuple[str, TemplateUse]], rules: Iterable[Rule]
) -> Iterator[tuple[str, TemplateUse]]:
    """Yield the templates that no rule matches: a missing object is not a missing endpoint."""
    paths = dict.fromkeys(template for rule in rules for template in rule.templates)
    matcher = Matcher((RequestPattern(Path.parse(path), (), None), path) for path in paths)
    for template, use in templates:
        if matcher.matches(Path.parse(template).sample(b"0"), b"") is None:
            yield template, use


def _listed(lines: list[tuple[int, str]]) -> Iterator[str]:
    """Yield the most frequent lines, and how many others there are."""
    for count, text in sorted(lines, key=lambda line: (-line[0], line[1]))[:_LISTED]:
        yield f"  {number(count, 'time')} {_printable(text)}"
    if len(lines) > _LISTED:
        yield f"  and {len(lines) - _LISTED} more"


def _use(record: LogLine, written: tuple[str, ...], segments: list[bytes]) -> MethodUse:
    scopes = read_claims({"scope": list(written)}).scopes
    subject = None if record.subject is None else record.subject.encode("utf-8", "surrogatepass")
    return MethodUse(
        count=1,
        common=scopes,
        tokens=Counter([scopes]),
        clients=set() if record.client_id is None else {record.client_id},
        holders={(record.client_id, record.subject)},
        own=Counter([depth for depth, segment in enumerate(segments) if segment == subject]),
        delimiters=Counter([delimiters] if (delimiters := kept_delimiters(record.path, segments)) else []),
    )


def _skip_reason(record: LogLine) -> str:
    """Return why a decision leads to no rule; empty if it may lead to one."""
    if record.reason == Reason.AMBIGUOUS_PATH:
        return _AMBIGUOUS
    if record.decision not in ("allow", WOULD_DENY):
        return "requests that were refused"
    if record.reason == Reason.NOBODY:
        return "requests that a rule denies to everybody"
    if record.reason == Reason.PUBLIC:
        return "requests under public rules"
    if record.reason == Reason.PREFLIGHT:
        return "CORS preflights"
    segments, ambiguous = _read(record.path)
    if ambiguous and (record.scopes is None or not kept_delimiters(record.path, segments)):
        return _AMBIGUOUS
    if record.reason in NO_ANSWER:
        return "requests whose token could not be verified"
    if record.reason not in (_UNSEEN if record.scopes is None else _GOOD):
        return "requests with a token that is not valid"
    if record.scopes is not None and record.status in _REFUSED:
        return "requests that the app refused (401, 403)"
    served = record.method in METHODS and record.method.encode() not in UNSERVED
    return "" if served and _segments(record.path) else "requests that no rule can match"


_AMBIGUOUS: Final = "requests with ambiguous paths"


def _method(record: LogLine) -> str:
    # RFC 9110 §9.3.2: a rule for GET matches HEAD too.
    return "GET" if record.method == "HEAD" else record.method


def _segments(path: str) -> list[bytes]:
    segments, _ = _read(path)
    return segments if len(segments) <= MAX_SEGMENTS else []


def _read(path: str) -> tuple[list[bytes], bool]:
    try:
        return read_path(path.encode("utf-8", "surrogatepass")) if path.startswith("/") else ([], False)
    except MalformedRequestError:
        return [], False


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
