"""Writes the decision log on a thread of its own, so that a slow reader of the log delays no request."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import Final, TextIO

from enforcer.decision_log.record import DecisionRecord, log_line
from enforcer.operations.logs import rfc3339

_BATCH: Final = 500
"""Lines per write call."""
_CLOSE_TIMEOUT: Final = 1.0
"""Seconds that `close` waits for the last lines."""


class DecisionLogWriter:
    """Takes decisions from the left of `backlog` and writes them to `stream`. The first decision starts its thread."""

    def __init__(self, backlog: deque[DecisionRecord], stream: TextIO) -> None:
        self._backlog = backlog
        self._stream = stream
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False

    def tick(self, now: float) -> None:
        """Wake the thread if there is something to write. Called by the ticker."""
        if self._backlog:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="decision log", daemon=True)
                self._thread.start()
            self._due.set()

    def close(self) -> None:
        """Write what is left, for one second at most."""
        self.tick(0.0)
        if self._thread is not None:
            self._closing = True
            self._due.set()
            self._thread.join(_CLOSE_TIMEOUT)

    def _run(self) -> None:
        while not self._closing or self._backlog:
            self._due.wait()
            self._due.clear()
            while self._backlog:
                self._write()

    def _write(self) -> None:
        lines: list[str] = []
        while self._backlog and len(lines) < _BATCH:
            decided = self._backlog.popleft()
            lines.append(log_line(decided, rfc3339(decided.time)).write() + "\n")
        with suppress(OSError, ValueError):  # the stream is broken or closed, and there is nowhere to report that
            self._stream.write("".join(lines))
            self._stream.flush()
