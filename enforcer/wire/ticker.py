"""Coarse time: one timer for all connections instead of one each, so that a deadline costs a request one store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

RESOLUTION = 0.1
"""Seconds between two looks at the deadlines: a deadline is kept to within twice this, and never early."""


class Ticker:
    """Keeps the time of the next tick and calls the sweeps on each.

    `next` is in seconds of the loop's clock; a deadline is `next + timeout`.
    """

    __slots__ = ("_handle", "_loop", "_sweeps", "next")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sweeps: list[Callable[[float], None]] = []
        self.next = loop.time() + RESOLUTION
        self._handle: asyncio.TimerHandle | None = loop.call_later(RESOLUTION, self._tick)

    def add(self, sweep: Callable[[float], None]) -> None:
        """Call `sweep(now)` on every tick from now on; may be said from another thread than the loop's."""
        self._sweeps.append(sweep)

    def remove(self, sweep: Callable[[float], None]) -> None:
        """Call `sweep` no more."""
        self._sweeps.remove(sweep)

    def stop(self) -> None:
        """Tick no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        now = self._loop.time()
        self.next = now + RESOLUTION
        self._handle = self._loop.call_later(RESOLUTION, self._tick)
        for sweep in tuple(self._sweeps):
            try:
                sweep(now)
            except Exception as error:  # noqa: BLE001 - one that fails must not stop the time of all others
                self._loop.call_exception_handler({"message": "a look at the deadlines", "exception": error})
