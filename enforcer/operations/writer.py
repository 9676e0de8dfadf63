"""The writer thread: writes to standard error, so that a slow reader of the log delays no request.

1. Nothing that runs on the event loop writes to standard error: a pipe that nobody reads would block it.
2. Sources hold what waits. Each is bounded, drops what does not fit, and counts it.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from typing import Final

_log = logging.getLogger("enforcer.operations")

_PAUSE: Final = 1.0
"""Seconds after which sources are asked again, even if nobody has woken the thread."""
_CLOSE_TIMEOUT: Final = 1.0
"""Seconds that `close` waits for the last lines."""

Source = Callable[[], bytes]
"""Returns the next lines to write, each with its line break; empty if there are none for now."""


class WriterThread:
    """Writes what its sources return to a file descriptor, which it does not close. `wake` starts the thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._sources: tuple[Source, ...] = ()
        self._due = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False

    def add(self, source: Source) -> None:
        """Write what this source returns, too. It is called on the thread."""
        self._sources += (source,)

    def wake(self) -> None:
        """Ask the sources soon. Never blocks."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
            self._thread.start()
        self._due.set()

    def close(self) -> None:
        """Write what is left, for one second at most."""
        if self._thread is not None:
            self._closing = True
            self._due.set()
            self._thread.join(_CLOSE_TIMEOUT)

    def _run(self) -> None:
        closing = False
        while not closing:
            self._due.wait(_PAUSE)
            self._due.clear()
            closing = self._closing  # read before the sources, so that nothing that came before `close` is left
            while sum(self._write(source) for source in self._sources):  # each source in turn
                pass

    def _write(self, source: Source) -> bool:
        """Write the next lines of a source, and return whether there were any."""
        try:
            data = source()
        except Exception:  # noqa: BLE001 - the other sources go on
            _log.exception("internal error")
            return False
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # another process has made the shared pipe non-blocking
                select.select([], [self._descriptor], [])
            except OSError:  # a closed pipe: there is nowhere to report that
                break
        return len(data) > 0
