"""An event loop whose clock stands still while there is work, and jumps to the next timer when there is none.

Hours of timeouts take as long as the work in them, and the same events always happen in the same order.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop without real waiting; `time()` begins at 0. Nothing in it may use sockets.

    A function for another thread runs at once, and takes no time.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, function: Callable[..., T], *arguments: Any
    ) -> asyncio.Future[T]:
        future = self.create_future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - the caller that waits for the future gets it
            future.set_exception(error)
        return future

    def advance(self, seconds: float | None) -> None:
        """Move the clock to the next timer."""
        if seconds is None:
            raise RuntimeError("every task waits, and no timer is set")
        self._now += seconds


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._loop.advance(timeout)
        return []


def run(script: Coroutine[Any, Any, T]) -> T:
    """Run a script in a loop with virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(script)
