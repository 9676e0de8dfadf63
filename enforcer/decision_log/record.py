"""Decision records, and the decision log: one JSON object a line, without token, query or any other secret."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from enforcer.counters import NO_ROUTE
from enforcer.decision_log.redaction import recorded_segments
from enforcer.policy.decision import Evidence, Label
from enforcer.policy.hierarchy import NO_HIERARCHY, ScopeHierarchy
from enforcer.policy.request_view import RequestView
from enforcer.policy.rules import Rule
from enforcer.tokens.claims import TOKEN, ActiveToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class Refusal(Protocol):
    """The response to a denied request.

    `detail` is that of the problem body (RFC 9457); `challenges` are the values of WWW-Authenticate; `retry_after` is
    the value of Retry-After in seconds.
    """

    @property
    def status(self) -> int: ...
    @property
    def detail(self) -> str: ...
    @property
    def challenges(self) -> tuple[str, ...]: ...
    @property
    def retry_after(self) -> int | None: ...


CLIENT_GONE: Final = 499
"""The status that is counted and logged if the client left before the response, as nginx has it."""


class ExchangeEnd(NamedTuple):
    """The end of an exchange: the status that the client got, the seconds it took, and the bytes of the body sent.

    The status is `CLIENT_GONE` if the client left before the response.
    """

    status: int
    seconds: float
    body: int


class DecisionRecord(NamedTuple):
    """One recorded decision: everything that the log and `enforcer why` report, and no secret.

    `time` is in seconds since the epoch. `path` is as sent, without query; of a request that was refused unread, what
    `redaction.unread_path` shows of it. `rule` is None if no rule matches. `evidence` is the verification result or
    the reason why there is none; None if the token was not looked at. `possession` is the result of checking what the
    token is bound to; None if it was not checked. `refusal` is the response, or in report mode the one that enforcing
    would give; None if the request was allowed. `detail` says what failed if there is no verification result, where
    the readings of an ambiguous path lead, or which other target of the request was denied, by which rule. `client` is
    the address of the client and `host` the value of Host, empty if it could not be read. `upstream` is the server to
    which the request may be forwarded, empty if it may not. `end` is None as long as the exchange goes on. `query` and
    `lines` are the parts of the query and the field lines that conditions of the rule read, `hierarchy` are the scopes
    that include others, `door` names the door that the request came to.
    """

    time: float
    request_id: bytes | None
    method: bytes
    path: bytes
    rule: Rule | None
    label: Label
    evidence: Evidence | None
    possession: Proven | PossessionFault | None
    refusal: Refusal | None
    detail: str = ""
    client: str = ""
    host: bytes = b""
    upstream: str = ""
    end: ExchangeEnd | None = None
    query: bytes = b""
    lines: tuple[bytes, ...] = ()
    hierarchy: ScopeHierarchy = NO_HIERARCHY
    door: str = ""

    def view(self, segments: int) -> RequestView:
        """Return the request as the rule's conditions saw it; of a hidden path, so many hidden segments."""
        path = recorded_segments(self.path, segments)
        return RequestView(path, self.query, self.host, self.lines, self.client)

    @property
    def size(self) -> int:
        """Memory that the record takes, in bytes."""
        token = self.evidence
        of_token = token.size + TOKEN if isinstance(token, ActiveToken) else 0
        texts = len(self.request_id or b"") + len(self.path) + len(self.detail) + len(self.host) + len(self.query)
        texts += sum(map(len, self.lines))
        return _FIXED + texts + of_token


def describe_other(method: bytes, path: bytes, rule: Rule | None, parting: str = "") -> str:
    """Return the `detail` of a request that was denied because a field of it names this method and path, too.

    `parting` says where the readings of an ambiguous path lead.
    """
    denied_by = parting or ("no rule" if rule is None else f'rule "{rule.name}"')
    return f"{method.decode()} {path.decode('utf-8', 'backslashreplace')}, {denied_by}"


_FIXED: Final = 1024
"""Bytes of a record, besides the values that differ in size; with the refusal, which may be the request's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of the decision log.

    `time` is RFC 3339. `request_id` is the value of X-Request-Id, None for an allowed request without one. `path` is as
    sent, without query; only its beginning if it could not be read, and empty if the head could not. `route` is the
    rule's name or `_none`. `decision` is `allow`, `deny`, `would_deny` (denied if the rule were enforced) or `error`.
    `scopes`, `client_id` and `subject` are None if there was no active token. `client` is the address of the client,
    also through a trusted proxy, `host` the value of Host, and `upstream` the address of the server to which an allowed
    request is forwarded. `detail` says what failed if the token could not be verified, where the readings of an
    ambiguous path lead, which other target was denied, or why the request could not be read. `status` is that of the
    response, 499 if the client left before; `duration` is in seconds, and `bytes` the size of the response body that
    was sent. `door` is `proxy`, or the contract of the decision API by which the request came.
    """

    time: str
    request_id: str | None = None
    method: str
    path: str
    route: str
    decision: str
    reason: str
    scopes: tuple[str, ...] | None = None
    client_id: str | None = None
    subject: str | None = None
    client: str | None = None
    host: str | None = None
    upstream: str | None = None
    detail: str | None = None
    status: int | None = None
    duration: float | None = None
    bytes: int | None = None
    door: str | None = None

    def write(self) -> str:
        """Return the line as JSON, without line break."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


def log_line(record: DecisionRecord, time: str) -> LogLine:
    """Make the log line of a record; `time` is the record's time as RFC 3339."""
    active = record.evidence if isinstance(record.evidence, ActiveToken) else None
    end, refusal = record.end, record.refusal
    decision, reason = record.label
    return LogLine(
        time=time,
        request_id=None if record.request_id is None else record.request_id.decode(),
        method=record.method.decode(),
        path=record.path.decode(),
        route=NO_ROUTE if record.rule is None else record.rule.name,
        decision=decision,
        reason=reason,
        scopes=None if active is None else tuple(sorted(active.scopes)),
        client_id=None if active is None else active.client_id,
        subject=None if active is None else active.subject,
        client=record.client or None,
        host=record.host.decode("latin-1") or None,
        upstream=record.upstream or None,
        detail=record.detail or (None if record.evidence is not None or refusal is None else refusal.detail),
        status=None if end is None else end.status,
        duration=None if end is None else round(end.seconds, 6),
        bytes=None if end is None else end.body,
        door=record.door or None,
    )


def parse(line: bytes) -> LogLine | None:
    """Read one line of a log; None if it is not a decision, since there may be other lines between."""
    try:
        return _adapter().validate_json(line, strict=True)
    except ValueError:
        return None


@cache
def _adapter() -> TypeAdapter[LogLine]:
    # Imported here because the request path makes records, and needs no pydantic.
    from pydantic import TypeAdapter

    return TypeAdapter(LogLine)
