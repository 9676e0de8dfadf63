"""Dividing the work of operators' requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

from enforcer.operations.slices import SLICE, Slices


class Clock:
    """A clock that the work itself advances."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, pieces: int, seconds: float) -> Iterator[int]:
        for piece in range(pieces):
            self.now += seconds
            yield piece


async def collect(slices: Slices, pieces: Iterator[int]) -> list[list[int]]:
    return [batch async for batch in slices.batches(pieces)]


def test_a_batch_is_the_work_of_one_slice() -> None:
    """All pieces, in their order."""
    clock = Clock()
    batches = asyncio.run(collect(Slices(clock), clock.work(10, SLICE / 4)))
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_quick_pieces_are_bounded_in_number() -> None:
    """A batch is written at once."""
    assert [len(batch) for batch in asyncio.run(collect(Slices(lambda: 0.0), iter(range(2500))))] == [1000, 1000, 500]


def test_two_requests_do_not_work_in_the_same_turn() -> None:
    """Everything else has a turn between any two slices."""
    clock = Clock()
    slices = Slices(clock)

    async def others(requests: asyncio.Future[list[list[list[int]]]]) -> list[float]:
        times = []
        while not requests.done():
            times.append(clock.now)
            await asyncio.sleep(0)
        return times

    async def run() -> list[float]:
        requests = asyncio.gather(*(collect(slices, clock.work(3, SLICE)) for _ in range(2)))
        times = await others(requests)
        assert await requests == [[[0], [1], [2]]] * 2
        return times

    times = asyncio.run(run())
    assert all(later - earlier <= SLICE * 1.001 for earlier, later in pairwise(times))
    assert times[-1] >= 6 * SLICE * 0.999
