"""Makes the lines of the decision log, on the writer thread."""

from __future__ import annotations

from collections import deque
from typing import Final

from enforcer.decision_log.record import DecisionRecord, log_line
from enforcer.operations.logs import rfc3339
from enforcer.operations.writer import WriterThread

_BATCH: Final = 500
"""Lines per write call."""


class DecisionLogWriter:
    """Takes decisions from the left of `backlog`, and gives their lines to `writer`."""

    def __init__(self, backlog: deque[DecisionRecord], writer: WriterThread) -> None:
        self._backlog = backlog
        self._writer = writer
        writer.add(self._take)

    def tick(self, now: float) -> None:
        """Wake the writer if there is something to write. Called by the ticker."""
        if self._backlog:
            self._writer.wake()

    def _take(self) -> bytes:
        lines: list[str] = []
        while self._backlog and len(lines) < _BATCH:
            decided = self._backlog.popleft()
            lines.append(log_line(decided, rfc3339(decided.time)).write() + "\n")
        return "".join(lines).encode()
