"""The decision log: one JSON object a line for each decision, without token, query or anything else that is secret."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from enforcer.policy.decision import Evidence, Label
from enforcer.policy.rules import Rule
from enforcer.tokens.dpop.possession import Fault, Proven
from enforcer.tokens.introspection.response import Active

NO_RULE: Final = "_none"
"""Stands for the name of the rule where there is none, as in metrics."""


class Refused(Protocol):
    """How the enforcer answers a request that it does not forward."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def detail(self) -> str:
        """What the body says."""

    @property
    def challenges(self) -> tuple[str, ...]:
        """The values of WWW-Authenticate."""

    @property
    def retry_after(self) -> int | None:
        """The value of Retry-After, seconds."""


class Decided(NamedTuple):
    """A decision as it was taken: all that is told of it later, and nothing that must not be.

    `time` is seconds since the epoch; `path` as sent, without query, empty where it was not read; `rule` None where
    there is none; `evidence` what the token was worth, None where nobody looked; `shown` whether its sender holds what
    it is bound to, None where that was not asked; `answer` the refusal, or what it would be were the rule enforced,
    None where the request was allowed.
    """

    time: float
    request_id: bytes | None
    method: bytes
    path: bytes
    segments: Sequence[bytes]
    rule: Rule | None
    label: Label
    evidence: Evidence | None
    shown: Proven | Fault | None
    answer: Refused | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One decision.

    `time` is RFC 3339; `request_id` the value of X-Request-Id, None where a request that was allowed had none; `path`
    as sent, without query, empty where it could not be read; `route` the rule's name or `_none`; `decision` is `allow`,
    `deny`, `would_deny` (refused, were the rule enforced) or `error`; `scopes` and `client_id` are None where no active
    token was seen.
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
        """Write the line, without its line break."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})


def record(decided: Decided, time: str) -> Record:
    """Make the record of a decision; `time` is its own, as RFC 3339 has it."""
    active = decided.evidence if isinstance(decided.evidence, Active) else None
    decision, reason = decided.label
    return Record(
        time=time,
        request_id=None if decided.request_id is None else decided.request_id.decode(),
        method=decided.method.decode(),
        path=decided.path.decode(),
        route=NO_RULE if decided.rule is None else decided.rule.name,
        decision=decision,
        reason=reason,
        scopes=None if active is None else tuple(sorted(active.scopes)),
        client_id=None if active is None else active.client_id,
    )


def parse(line: bytes) -> Record | None:
    """Read a line; None where it is no decision: other lines may stand between."""
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
    return Record(
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
