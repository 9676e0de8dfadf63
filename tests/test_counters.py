"""Histograms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.counters import Histogram


@pytest.mark.parametrize(
    ("observed", "cumulative"),
    [
        ([], [0, 0, 0]),
        ([0.5], [1, 1, 1]),
        ([1.0], [1, 1, 1]),
        ([1.0000001], [0, 1, 1]),
        ([2.0], [0, 1, 1]),
        ([2.5], [0, 0, 1]),
        ([0.0], [1, 1, 1]),
        ([-0.1], [1, 1, 1]),
        ([math.inf], [0, 0, 1]),
        ([0.5, 1.5, 1.5, 3.0], [1, 3, 4]),
    ],
)
def test_a_bucket_counts_values_up_to_its_bound(observed: list[float], cumulative: list[int]) -> None:
    """As `le` in Prometheus: less than or equal, cumulative."""
    histogram = Histogram((1.0, 2.0))
    for seconds in observed:
        histogram.observe(seconds)
    assert histogram.buckets() == list(zip(["1.0", "2.0", "+Inf"], cumulative, strict=True))
    assert histogram.total == sum(observed)


@given(st.lists(st.floats(0, 20), max_size=50))
def test_buckets_are_cumulative(observed: list[float]) -> None:
    """For any observations."""
    histogram = Histogram((0.1, 1.0, 2.5, 10.0))
    for seconds in observed:
        histogram.observe(seconds)
    counts = [count for _, count in histogram.buckets()]
    assert counts == [sum(seconds <= bound for seconds in observed) for bound in (0.1, 1.0, 2.5, 10.0, math.inf)]
    assert histogram.total == pytest.approx(sum(observed))
