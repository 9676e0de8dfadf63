"""Shares of the worker thread."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from enforcer.kubernetes.webhook.serving.shares import FairWorker


def test_the_peer_that_used_the_least_is_next() -> None:
    """A peer that has sent many slow functions waits for a peer that sends its first, and not the other way round."""
    order: list[str] = []

    async def run() -> None:
        worker = FairWorker(time.perf_counter)
        begun, release = threading.Event(), threading.Event()

        def first() -> None:
            begun.set()
            release.wait()

        running = asyncio.create_task(worker.run("greedy", first))
        await asyncio.to_thread(begun.wait)
        waiting = [asyncio.create_task(worker.run("greedy", order.append, "greedy")) for _ in range(3)]
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(worker.run("honest", order.append, "honest")))
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(running, *waiting)
        worker.close()

    asyncio.run(run())
    assert order == ["honest", "greedy", "greedy", "greedy"]


def test_an_idle_peer_collects_no_claim() -> None:
    """It begins with the time of the busy peers, so that it cannot take all turns later."""
    order: list[str] = []
    now = 0.0

    async def run() -> None:
        nonlocal now
        worker = FairWorker(lambda: now)

        def work(peer: str) -> None:
            nonlocal now
            order.append(peer)
            now += 1.0

        for _ in range(3):
            await worker.run("a", work, "a")
        await asyncio.gather(*(worker.run(peer, work, peer) for peer in ("b", "a", "b", "a", "b", "b")))
        worker.close()

    asyncio.run(run())
    assert order[3:] == ["b", "a", "b", "a", "b", "b"]


def test_a_turn_lasts_until_its_function_has_ended() -> None:
    """Even if the caller stops waiting for it; a caller that waits for a turn gives it up."""
    order: list[str] = []

    async def run() -> None:
        worker = FairWorker(time.perf_counter)
        begun, release = threading.Event(), threading.Event()

        def first() -> None:
            begun.set()
            release.wait()
            order.append("first")

        running = asyncio.create_task(worker.run("a", first))
        await asyncio.to_thread(begun.wait)
        gone = asyncio.create_task(worker.run("b", order.append, "gone"))
        last = asyncio.create_task(worker.run("c", order.append, "last"))
        await asyncio.sleep(0)
        running.cancel()
        gone.cancel()
        await asyncio.wait([running, gone])
        assert order == []
        release.set()
        await last
        worker.close()

    asyncio.run(run())
    assert order == ["first", "last"]


def test_the_error_of_a_function_is_raised() -> None:
    """And the next function has its turn."""

    async def run() -> int:
        worker = FairWorker(time.perf_counter)
        with pytest.raises(ValueError, match="junk"):
            await worker.run("a", int, "junk")
        try:
            return await worker.run("a", int, "7")
        finally:
            worker.close()

    assert asyncio.run(run()) == 7
