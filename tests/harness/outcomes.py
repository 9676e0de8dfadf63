"""Results of functions that take a callback: returned at once, or passed to the callback later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from harness.clocks import Clock

T = TypeVar("T")


def outcome_of(function: Callable[[Callable[[T], None]], T | None], clock: Clock | None = None) -> T:
    """Return the result, which must be known exactly once: when the function returns, or by now on the clock."""
    results: list[T] = []
    returned = function(results.append)
    assert results == [], "the callback was called before the function returned"
    if returned is not None:
        results.append(returned)
    if clock is not None:
        clock.advance(0.0)
    (result,) = results
    return result


async def outcome(function: Callable[[Callable[[T], None]], T | None]) -> T:
    """Wait for the result."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    returned = function(future.set_result)
    return await future if returned is None else returned
