"""Honest clients beside each flood, in short: with generous limits, because the machine may be busy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fairness.bed import Bed, bed
from fairness.floods import FLOODS


@pytest.fixture(scope="module")
def running() -> Iterator[Bed]:
    with bed() as running:
        yield running


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_does_not_stop_the_others(running: Bed, flood: str) -> None:
    """Before there were turns, another client waited for seconds, and the probe that decides about a restart too."""
    times = running.measure(flood, 10, 0.5)
    assert times.p99 < 500
    assert times.livez < 1000
    assert times.cut == 0
    assert times.rate > 10
