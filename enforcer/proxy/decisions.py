"""What is kept of decisions, for those who ask later: the last denials, and the lines of the log to be written.

1. Nothing is kept of a token but what it was worth, and nothing of a query.
2. It is bounded, whatever clients do: the oldest denial is forgotten, a line that cannot be written in time left out.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import getrandbits
from typing import Final

from enforcer.policy.journal import Decided
from enforcer.proxy.request import RequestHead
from enforcer.settings.log import Logged

_PLAIN: Final = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_TELLING: Final = 8
"""Bytes of a text from which on it may be a secret where it stands in the credentials."""
_HIDDEN: Final = b"[hidden]"


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept: so many denials, and which decisions until they are written, `backlog` of them at most."""

    denials: int
    logged: Logged
    backlog: int


class Decisions:
    """The last denials, and what waits to be written."""

    __slots__ = ("_denials", "backlog", "left_out")

    def __init__(self) -> None:
        self._denials: deque[Decided] = deque()
        self.backlog: deque[Decided] = deque()
        """Taken from its left by who writes it, on another thread."""
        self.left_out = 0
        """Decisions that were to be written and were not."""

    def take(self, decided: Decided, keeping: Keeping) -> None:
        """Keep a decision as long as the settings say."""
        denied = decided.label[0] != "allow"
        if denied:
            denials = self._denials
            denials.append(decided)
            while len(denials) > keeping.denials:
                denials.popleft()
        if keeping.logged == "all" or (denied and keeping.logged == "denied"):
            if len(self.backlog) < keeping.backlog:
                self.backlog.append(decided)
            else:
                self.left_out += 1

    def find(self, request_id: bytes) -> list[Decided]:
        """Return the denials of requests with an id, the oldest first: clients choose ids, and may use one twice."""
        return [decided for decided in self._denials if decided.request_id == request_id]


def identify(request: RequestHead) -> bytes:
    """Return the id by which a refusal can be asked about: the client's where it sent a plain one, else a new one."""
    return given_id(request) or b"%016x" % getrandbits(64)


def given_id(request: RequestHead) -> bytes | None:
    """Return the X-Request-Id of a request, where it has one that is plain and tells nothing secret."""
    lines = request.lines
    found = [lines[at + 2] for at in range(0, len(lines), 4) if lines[at].lower() == b"x-request-id"]
    if len(found) != 1 or not _PLAIN.fullmatch(found[0]):
        return None
    (given,) = found
    in_target = len(given) >= _TELLING and given in request.target
    return None if in_target or _tells(given, request.authorization) else given


def path_of(request: RequestHead, segments: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
    """Return the path of a request as sent, without query, and its segments; hidden where they tell the token."""
    path = request.target.partition(b"?")[0]
    credentials = request.authorization
    if credentials is not None and any(_tells(part, credentials) for part in (path, *segments)):
        return b"/" + _HIDDEN, [_HIDDEN] * len(segments)
    return path, segments


def _tells(text: bytes, credentials: bytes | None) -> bool:
    if credentials is None or len(text) < _TELLING:
        return False
    token = credentials.rpartition(b" ")[2]
    return text in credentials or (len(token) >= _TELLING and token in text)
