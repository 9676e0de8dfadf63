"""A coarse clock: one timer for all connections instead of one each, so that setting a deadline costs one store.

Everything that shares an event loop has its ticker, so the turns that share the loop's time come with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from enforcer.wire.turns import Turns

RESOLUTION = 0.1
"""Seconds between two ticks: a deadline is noticed up to twice this late, and never early."""


class Ticker:
    """Keeps the time of the next tick, and calls the sweeps on each tick.

    `next` is in seconds of the event loop's clock; a deadline is `next + timeout`. `turns` are those of the same loop,
    and `call_soon` calls a function in its next turn.
    """

    __slots__ = ("_handle", "_loop", "_sweeps", "call_soon", "next", "turns")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sweeps: list[Callable[[float], None]] = []
        self.call_soon: Callable[[Callable[[], None]], object] = loop.call_soon
        self.turns = Turns(loop.call_soon)
        self.next = loop.time() + RESOLUTION
        self._handle: asyncio.TimerHandle | None = loop.call_later(RESOLUTION, self._tick)

    def add(self, sweep: Callable[[float], None]) -> None:
        """Call `sweep(now)` on every tick from now on. Safe to call from any thread."""
        self._sweeps.append(sweep)

    def remove(self, sweep: Callable[[float], None]) -> None:
        """Stop calling `sweep`."""
        self._sweeps.remove(sweep)

    def stop(self) -> None:
        """Stop ticking."""
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
            except Exception as error:  # noqa: BLE001 - one sweep that fails must not stop the others
                self._loop.call_exception_handler({"message": "sweep of the deadlines", "exception": error})
