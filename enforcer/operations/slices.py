"""Divides the work of operators' requests, so that it never holds the event loop from clients' requests for long.

All requests together work for one slice in each turn of the event loop, in the order in which they came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from time import perf_counter
from typing import Final, TypeVar

T = TypeVar("T")

SLICE: Final = 0.0005
"""Seconds of work in one turn of the event loop."""
_MAX_BATCH: Final = 1000
"""Pieces of a slice at most: bounds the size of what is written at once."""


class Slices:
    """The turns of one event loop. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()

    async def batches(self, pieces: Iterable[T]) -> AsyncIterator[list[T]]:
        """Yield the pieces, those of one slice together. Making a single piece must not take long."""
        iterator = iter(pieces)
        while batch := await self._next(iterator):
            yield batch

    async def _next(self, pieces: Iterable[T]) -> list[T]:
        batch: list[T] = []
        async with self._turn:
            end = self._clock() + SLICE
            for piece in pieces:
                batch.append(piece)
                if self._clock() >= end or len(batch) >= _MAX_BATCH:
                    break
            await asyncio.sleep(0)  # no other slice before everything else had a turn
        return batch
