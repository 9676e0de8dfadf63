"""The decision log: one JSON object a line for each decision, without token, query or anything else that is secret."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One decision.

    `time` is RFC 3339; `path` as sent, without query; `route` the rule's name or `_none`; `decision` is `allow`, `deny`
    or `would_deny` (refused, were the rule enforced); `scopes` and `client_id` are None where no active token was seen.
    """

    time: str
    method: str
    path: str
    route: str
    decision: str
    reason: str
    scopes: tuple[str, ...] | None
    client_id: str | None

    def write(self) -> str:
        """Write the line, without its line break."""
        return json.dumps(asdict(self))


def parse(line: bytes) -> Record | None:
    """Read a line; None where it is no decision: other lines may stand between."""
    try:
        members: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    texts = [members.get(name) for name in ("time", "method", "path", "route", "decision", "reason")]
    scopes, client_id = members.get("scopes"), members.get("client_id")
    if not all(isinstance(text, str) for text in texts):
        return None
    if scopes is not None and not (isinstance(scopes, list) and all(isinstance(scope, str) for scope in scopes)):
        return None
    if client_id is not None and not isinstance(client_id, str):
        return None
    time, method, path, route, decision, reason = map(str, texts)
    return Record(
        time=time,
        method=method,
        path=path,
        route=route,
        decision=decision,
        reason=reason,
        scopes=None if scopes is None else tuple(scopes),
        client_id=client_id,
    )
