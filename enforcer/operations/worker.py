"""Work beside the event loop that does not keep it from its requests."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

T = TypeVar("T")

_TURN: Final = 0.0005
"""Seconds that the work may go on while the loop waits for the interpreter. Python's own 5 ms would be a stall at every
turn of the loop; much less would be spent on changing over."""


class WorkerThread:
    """One thread, that does one thing after the other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "background")
        self._closed = False

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do it, and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _by_turns, work, *arguments)

    def let_go(self, roots: list[object]) -> None:
        """Free what is in a list, which the caller holds by nothing else, when there is time for it."""
        if not self._closed:
            self._thread.submit(_by_turns, free, roots)

    def close(self) -> None:
        """Begin nothing more, and wait for nothing."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)


def _by_turns(work: Callable[..., T], *arguments: Any) -> T:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        return work(*arguments)
    finally:
        sys.setswitchinterval(usual)


def free(roots: list[object]) -> None:
    """Let go of what is in a list, which the caller holds by nothing else, piece by piece.

    What is freed in one go, with all that is in it, holds the interpreter all the while: 10 ms for 10,000 rules.
    """
    while roots:
        one = roots.pop()
        # Nobody's but ours (and the call's): its parts are put aside before it goes, so that it goes alone.
        if gc.is_tracked(one) and sys.getrefcount(one) == 2:
            roots += gc.get_referents(one)
        del one
