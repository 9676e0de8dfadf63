"""Makes the lines of the decision log, on the writer thread."""

from __future__ import annotations

from typing import Final, Protocol

from enforcer.decision_log.record import DecisionRecord, log_line
from enforcer.operations.logs import rfc3339
from enforcer.operations.writer import WriterThread

_BATCH: Final = 65_536
"""Bytes per write call, except for the last line. Bounds memory."""


class Backlog(Protocol):
    """Records that wait to be written, the oldest on the left."""

    def __len__(self) -> int: ...
    def popleft(self) -> DecisionRecord:
        """Take the oldest record."""


class DecisionLogWriter:
    """Takes decisions from the left of `backlog`, and gives their lines to `writer`."""

    def __init__(self, backlog: Backlog, writer: WriterThread) -> None:
        self._backlog = backlog
        self._writer = writer
        writer.add(self._take)

    def tick(self, now: float) -> None:
        """Wake the writer if there is something to write. Called by the ticker."""
        if self._backlog:
            self._writer.wake()

    def _take(self) -> bytes:
        lines = bytearray()
        while self._backlog and len(lines) < _BATCH:
            record = self._backlog.popleft()
            lines += log_line(record, rfc3339(record.time)).write().encode() + b"\n"
        return bytes(lines)
