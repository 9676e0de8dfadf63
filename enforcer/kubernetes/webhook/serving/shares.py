"""Divides the worker thread among peers, so that one of them cannot take what all need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Final, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from cachetools import LRUCache

P = ParamSpec("P")
T = TypeVar("T")

_PEERS: Final = 1000
"""Peers whose used time is remembered."""


class FairWorker:
    """Runs functions in one worker thread, one at a time: the next one is of the peer that has used the least time.

    This is start-time fair queueing: a peer that was idle begins with the time of the others, not with 0. A function
    waits for at most one of each other peer, usually for none.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "reviews")
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._running = False
        self._time = 0.0
        """Time that each busy peer has used."""
        self._used: LRUCache[str, float] = LRUCache(_PEERS)
        """Time that a peer has used, if it is more than that."""
        self._queues: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, peer: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function for a peer, and return its result."""
        queue = self._queues.get(peer)
        if queue is None:
            queue = self._queues[peer] = asyncio.Lock()
        async with queue:
            used = max(self._used.get(peer, 0.0), self._time)
            await self._wait_for_turn(used)
            self._time, begin = used, self._clock()
            running = self._loop.run_in_executor(self._thread, partial(function, *args, **kwargs))
            # The turn lasts as long as the function, even if the caller stops waiting for it.
            running.add_done_callback(lambda _: self._end_turn(peer, used + self._clock() - begin))
            return await asyncio.shield(running)

    async def _wait_for_turn(self, used: float) -> None:
        if not self._running:
            self._running = True
            return
        turn = self._loop.create_future()
        heappush(self._waiting, (used, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._begin_next()
            raise

    def _end_turn(self, peer: str, used: float) -> None:
        self._used[peer] = used
        self._begin_next()

    def _begin_next(self) -> None:
        while self._waiting:
            _, _, turn = heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._running = False

    def close(self) -> None:
        """Wait for the running function, and start no further one."""
        self._thread.shutdown(cancel_futures=True)
