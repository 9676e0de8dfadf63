"""Histograms, and counts of requests."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.counters import Histogram, RequestCounts


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


def test_methods_that_clients_invent_are_counted_as_one() -> None:
    """So that they take no memory; each status is counted apart."""
    counts = RequestCounts()
    for method, status in (
        (b"GET", 200),
        (b"GET", 200),
        (b"GET", 404),
        (b"BREW", 200),
        (b"PROPFIND", 200),
        (b"BREW", 404),
    ):
        counts[method, status].value += 1
    assert {key: count.value for key, count in counts.items()} == {
        (b"GET", 200): 2,
        (b"GET", 404): 1,
        (b"_OTHER", 200): 2,
        (b"_OTHER", 404): 1,
    }
