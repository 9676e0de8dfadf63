"""Writes the decision log, on a thread of its own: whoever reads it slowly holds no request up."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import Final, TextIO

from enforcer.operations.logs import rfc3339
from enforcer.policy.journal import Decided, record

_AT_ONCE: Final = 500
"""Lines that are written with one call."""
_LAST: Final = 1.0
"""Seconds that the last lines have when all ends."""


class DecisionLogWriter:
    """Takes decisions off the left of `backlog` and writes them to `stream`; its thread begins with the first."""

    def __init__(self, backlog: deque[Decided], stream: TextIO) -> None:
        self._backlog = backlog
        self._stream = stream
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        self._ending = False

    def look(self, now: float) -> None:
        """See whether there is something to write: what a ticker calls."""
        if self._backlog:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="decision log", daemon=True)
                self._thread.start()
            self._due.set()

    def close(self) -> None:
        """Write what is left, in a second at most."""
        self.look(0.0)
        if self._thread is not None:
            self._ending = True
            self._due.set()
            self._thread.join(_LAST)

    def _run(self) -> None:
        while not self._ending or self._backlog:
            self._due.wait()
            self._due.clear()
            while self._backlog:
                self._write()

    def _write(self) -> None:
        lines: list[str] = []
        while self._backlog and len(lines) < _AT_ONCE:
            decided = self._backlog.popleft()
            lines.append(record(decided, rfc3339(decided.time)).write() + "\n")
        with suppress(OSError, ValueError):  # nobody reads it any more, and there is nowhere to say so
            self._stream.write("".join(lines))
            self._stream.flush()
