"""The ticker: one timer for the deadlines of all connections."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.waiting import TIMEOUT

from enforcer.wire.ticker import RESOLUTION, Ticker


def test_each_sweep_is_called_on_each_tick_until_it_is_removed() -> None:
    """With the time of the tick, which is never before the `next` that a deadline was set from."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        first, second = ticker.next, asyncio.Event()
        ticks: list[float] = []
        removed: list[float] = []

        def sweep(now: float) -> None:
            ticks.append(now)
            if len(ticks) == 2:
                second.set()

        def once(now: float) -> None:
            removed.append(now)
            ticker.remove(once)

        ticker.add(once)
        ticker.add(sweep)
        await asyncio.wait_for(second.wait(), TIMEOUT)
        ticker.stop()
        assert len(removed) == 1
        assert ticks[0] >= first - 0.001
        assert ticks[1] - ticks[0] >= RESOLUTION - 0.001
        assert ticker.next == ticks[1] + RESOLUTION

    asyncio.run(run())


def test_a_sweep_that_fails_is_reported_and_stops_no_other() -> None:
    """Otherwise one connection could suspend the deadlines of all others."""

    async def run() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        reports: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: reports.append(context))
        called = asyncio.Event()

        def fail(now: float) -> None:
            raise RuntimeError("broken")

        ticker = Ticker(loop)
        ticker.add(fail)
        ticker.add(lambda now: called.set())
        await asyncio.wait_for(called.wait(), TIMEOUT)
        ticker.stop()
        return reports

    (report,) = asyncio.run(run())
    assert str(report["exception"]) == "broken"


def test_a_stopped_ticker_calls_nothing() -> None:
    """Stopping it twice is allowed."""

    async def run() -> list[float]:
        ticker = Ticker(asyncio.get_running_loop())
        ticks: list[float] = []
        ticker.add(ticks.append)
        ticker.stop()
        ticker.stop()
        await asyncio.sleep(2 * RESOLUTION)
        return ticks

    assert asyncio.run(run()) == []
