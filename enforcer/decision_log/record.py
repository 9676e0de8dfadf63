"""Decision records, and the decision log: one JSON object a line, without token, query or any other secret."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from enforcer.counters import NO_ROUTE
from enforcer.policy.decision import Evidence, Label
from enforcer.policy.rules import Rule
from enforcer.tokens.dpop.possession import PossessionFault, Proven
from enforcer.tokens.introspection.response import ActiveToken


class Refusal(Protocol):
    """The response to a denied request."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def detail(self) -> str:
        """The `detail` member of the problem body (RFC 9457)."""

    @property
    def challenges(self) -> tuple[str, ...]:
        """The values of WWW-Authenticate."""

    @property
    def retry_after(self) -> int | None:
        """The value of Retry-After in seconds."""


class DecisionRecord(NamedTuple):
    """One recorded decision: everything that the log and `enforcer why` report, and no secret.

    `time` is in seconds since the epoch. `path` is as sent, without query; empty if it was not read. `rule` is None if
    no rule matches. `evidence` is the verification result or the reason why there is none; None if the token was not
    looked at. `possession` is the result of checking what the token is bound to; None if it was not checked. `refusal`
    is the response, or in report mode the one that enforcing would give; None if the request was allowed.
    """

    time: float
    request_id: bytes | None
    method: bytes
    path: bytes
    segments: Sequence[bytes]
    rule: Rule | None
    label: Label
    evidence: Evidence | None
    possession: Proven | PossessionFault | None
    refusal: Refusal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of the decision log.

    `time` is RFC 3339. `request_id` is the value of X-Request-Id, None for an allowed request without one. `path` is as
    sent, without query, and empty if it could not be read. `route` is the rule's name or `_none`. `decision` is
    `allow`, `deny`, `would_deny` (denied if the rule were enforced) or `error`. `scopes` and `client_id` are None if
    there was no active token.
    """

    time: str
    request_id: str | None = None
    method: str
    path: str
    route: str
    decision: str
    reason: str
    scopes: tuple[str, ...] | None
    client_id: str | None

    def write(self) -> str:
        """Return the line as JSON, without line break."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


def log_line(record: DecisionRecord, time: str) -> LogLine:
    """Make the log line of a record; `time` is the record's time as RFC 3339."""
    active = record.evidence if isinstance(record.evidence, ActiveToken) else None
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
    )


def parse(line: bytes) -> LogLine | None:
    """Read one line of a log; None if it is not a decision, since there may be other lines between."""
    try:
        members: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    texts = [members.get(name) for name in ("time", "method", "path", "route", "decision", "reason")]
    request_id, scopes, client_id = (members.get(name) for name in ("request_id", "scopes", "client_id"))
    if not all(isinstance(text, str) for text in texts):
        return None
    if scopes is not None and not (isinstance(scopes, list) and all(isinstance(scope, str) for scope in scopes)):
        return None
    if not all(text is None or isinstance(text, str) for text in (request_id, client_id)):
        return None
    time, method, path, route, decision, reason = map(str, texts)
    return LogLine(
        time=time,
        request_id=request_id,
        method=method,
        path=path,
        route=route,
        decision=decision,
        reason=reason,
        scopes=None if scopes is None else tuple(scopes),
        client_id=client_id,
    )
