"""Counters and histograms as plain numbers. The request path increments them; `telemetry` exports them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, final

_LATENCY: Final[Sequence[float]] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip

# RFC 9110 §9.3, RFC 5789
_COUNTED_METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"}
)
"""The methods that are counted by their names: clients can invent others, and each would take memory."""
_OTHER_METHOD: Final = b"_OTHER"

NO_ROUTE: Final = "_none"
"""The `route` of a request that matches no rule."""
METADATA_ROUTE: Final = "_metadata"
"""The `route` of a request for the metadata of a protected resource."""


@final
class Count:
    """A counter among others in a dict: it is looked up once to be incremented, and a plain integer twice."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Histogram:
    """A histogram of durations in seconds. The request path only calls `observe`."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = list(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        index = 0
        for bound in self.bounds:  # a linear search, because most observations fall into one of the first buckets
            if seconds <= bound:
                break
            index += 1
        counts = self.counts
        counts[index] = counts[index] + 1  # compiled, `+=` is an addition of any two objects
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return upper bound and cumulative count of each bucket, as the exposition format needs them."""
        buckets: list[tuple[str, float]] = []
        cumulative = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            cumulative += count
            buckets.append((bound, cumulative))
        return buckets


class RequestCounts(dict[tuple[bytes, int], Count]):
    """Counts of requests by method and status; the methods that clients invent are counted as one."""

    def __missing__(self, key: tuple[bytes, int]) -> Count:
        method, status = key
        counted = (method if method in _COUNTED_METHODS else _OTHER_METHOD, status)
        count = self.get(counted)
        if count is None:
            count = self[counted] = Count()
        return count


class RouteMetrics:
    """Counters of one rule: `requests` by method and status, `decisions` by decision and reason."""

    __slots__ = ("decisions", "duration", "ended_by_reload", "requests")

    def __init__(self) -> None:
        self.requests = RequestCounts()
        self.decisions: dict[tuple[str, str], Count] = defaultdict(Count)
        self.duration = Histogram(_LATENCY)
        self.ended_by_reload = 0


class DoorMetrics:
    """Counters of one door of the decision API: `results` by result, `ignored` fields of other contracts by name."""

    __slots__ = ("ignored", "results")

    def __init__(self) -> None:
        self.results: dict[str, int] = defaultdict(int)
        self.ignored: dict[str, int] = defaultdict(int)


class UpstreamMetrics:
    """Counters of one upstream: `responses` by status, `errors` by reason; `failing` if the last request failed.

    `streams` returns the number of open streams.
    """

    __slots__ = ("duration", "errors", "failing", "responses", "streams")

    def __init__(self) -> None:
        self.responses: dict[int, Count] = defaultdict(Count)
        self.errors: dict[str, int] = defaultdict(int)
        self.duration = Histogram(_LATENCY)
        self.failing = False
        self.streams: Callable[[], int] = int


class FetchMetrics:
    """Counters of one document of an authorization server, such as its keys: `results` by result."""

    __slots__ = ("duration", "results")

    def __init__(self) -> None:
        self.results: dict[str, int] = defaultdict(int)
        self.duration = Histogram(_LATENCY)


class IntrospectionMetrics:
    """Counters of one authorization server.

    Introspections in `results` by result, rejected JWTs in `rejected` by fault, `fetches` by document.
    """

    __slots__ = (
        "circuit_open", "coalesced", "duration", "fetches", "hits", "in_flight", "misses", "negative_hits",
        "rejected", "results", "stale_hits",
    )  # fmt: skip

    def __init__(self) -> None:
        self.results: dict[str, int] = defaultdict(int)
        self.rejected: dict[str, int] = defaultdict(int)
        self.duration = Histogram(_LATENCY)
        self.fetches: dict[str, FetchMetrics] = defaultdict(FetchMetrics)
        self.in_flight = self.coalesced = self.hits = self.negative_hits = self.stale_hits = self.misses = 0
        self.circuit_open: Callable[[], bool] = bool
