"""Every metric, prepared at load: the request path adds to plain numbers, and a scrape puts them into words.

prometheus-client's own counters take a lock and its histograms a loop for each event; here an event is one addition,
made on one thread (`counters`). Names and labels are closed sets: no path, host, token or client makes a series.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from enforcer.counters import Histogram, IntrospectionMetrics, RouteMetrics, UpstreamMetrics

_OVERHEAD: Final[Sequence[float]] = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
# RFC 9110 §9.3, RFC 5789
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"})

T = TypeVar("T")

NO_ROUTE: Final = "_none"
"""The `route` of a request that falls under no rule."""


class _Numbers:
    """What is counted for the rules, upstreams and servers of one configuration, by their names."""

    __slots__ = ("routes", "servers", "upstreams")

    def __init__(self) -> None:
        self.routes: dict[str, RouteMetrics] = {}
        self.upstreams: dict[str, UpstreamMetrics] = {}
        self.servers: dict[str, IntrospectionMetrics] = {}


def _carried(current: dict[str, T], coming: dict[str, T], name: str, make: Callable[[], T]) -> T:
    """Return the numbers of a name, old or new, and have them among those to come."""
    found = coming.get(name) or current.get(name) or make()
    coming[name] = found
    return found


class Telemetry(Collector):
    """All that is counted, and its exposition."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._current = self._coming = _Numbers()
        self.overhead = Histogram(_OVERHEAD)
        self.in_flight: Callable[[], int] = int
        self.connections: Callable[[], int] = int
        self.decisions_left_out: Callable[[], int] = int
        self.cache_entries: Callable[[], int] = int
        self.cache_evictions: Callable[[], Mapping[str, int]] = dict
        self.proofs: Callable[[], int] = int
        self.config_hash = ""
        self.config_loaded = 0.0
        self.config_successful = False
        self.config_reloads = {"success": 0, "failure": 0}
        self.ready = False
        self.draining = False
        self._registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR, self):
            self._registry.register(collector)

    def route(self, name: str) -> RouteMetrics:
        """Return the numbers of a rule, which go on where the configuration before had it too."""
        return _carried(self._current.routes, self._coming.routes, name, RouteMetrics)

    def upstream(self, name: str) -> UpstreamMetrics:
        """Return the numbers of an upstream."""
        return _carried(self._current.upstreams, self._coming.upstreams, name, UpstreamMetrics)

    def server(self, name: str) -> IntrospectionMetrics:
        """Return the numbers of an authorization server."""
        return _carried(self._current.servers, self._coming.servers, name, IntrospectionMetrics)

    def begin(self) -> None:
        """Begin another configuration: what it counts is asked for from now on, and exposed when it takes effect."""
        self._coming = _Numbers()

    def loaded(self, config_hash: str) -> None:
        """Note that a configuration took effect: what it does not count is exposed no more."""
        self._current = self._coming
        self.config_hash = config_hash
        self.config_loaded = time.time()
        self.config_successful = True

    def reloaded(self, config_hash: str) -> None:
        """Note that another configuration took effect while serving."""
        self.config_reloads["success"] += 1
        self.loaded(config_hash)

    def reload_failed(self) -> None:
        """Note that a configuration was not taken, and the one before stays in force."""
        self.config_reloads["failure"] += 1
        self.config_successful = False

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Name no metric beforehand: the registry then does not scrape at registration."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Put the numbers into words."""
        yield from self._requests()
        yield from self._upstream()
        yield from self._introspection()
        yield from self._fetches()
        yield from self._state()

    def _requests(self) -> Iterator[Metric]:
        requests = _counter("requests", "Requests answered.", "route", "method", "code")
        decisions = _counter("decisions", "Decisions taken.", "route", "decision", "reason")
        duration = _histogram("request_duration_seconds", "From a request's head to its answer's end.", "route")
        ended = _counter("streams_ended_by_reload", "Streams and tunnels that a newer configuration ended.", "route")
        for name, route in self._current.routes.items():
            counts: dict[tuple[str, str], int] = defaultdict(int)
            for (method, code), count in tuple(route.requests.items()):
                counts[method.decode() if method in _METHODS else "_OTHER", str(code)] += count
            for (label, code_label), count in counts.items():
                requests.add_metric((name, label, code_label), count)
            for (decision, reason), count in tuple(route.decisions.items()):
                decisions.add_metric((name, decision, reason), count)
            if counts:
                duration.add_metric((name,), route.duration.buckets(), route.duration.total)
            if route.ended_by_reload:
                ended.add_metric((name,), route.ended_by_reload)
        yield requests
        yield decisions
        left_out = _counter("decisions_left_out", "Decisions that the log could not take in time.")
        left_out.add_metric((), self.decisions_left_out())
        yield left_out
        yield duration
        yield ended
        overhead = _histogram("overhead_duration_seconds", "From a request's head until it is with the upstream.")
        overhead.add_metric((), self.overhead.buckets(), self.overhead.total)
        yield overhead
        yield _gauge("requests_in_flight", "Requests being answered.", self.in_flight())
        yield _gauge("connections", "Client connections open.", self.connections())

    def _upstream(self) -> Iterator[Metric]:
        answers = _counter("upstream_requests", "Answers of an upstream.", "upstream", "code")
        errors = _counter("upstream_errors", "Requests that an upstream did not answer whole.", "upstream", "reason")
        duration = _histogram(
            "upstream_duration_seconds", "From sending a request to an upstream to its answer's end.", "upstream"
        )
        for name, upstream in self._current.upstreams.items():
            for code, count in tuple(upstream.answers.items()):
                answers.add_metric((name, str(code)), count)
            for reason, count in tuple(upstream.errors.items()):
                errors.add_metric((name, reason), count)
            duration.add_metric((name,), upstream.duration.buckets(), upstream.duration.total)
        yield answers
        yield errors
        yield duration

    def _introspection(self) -> Iterator[Metric]:
        results = _counter(
            "introspection_requests",
            "Tokens looked up at an authorization server or verified by its keys, by what came of it.",
            "server",
            "result",
        )
        duration = _histogram("introspection_duration_seconds", "An introspection, connection included.", "server")
        circuits = GaugeMetricFamily(
            "enforcer_introspection_circuit_open",
            "Whether an authorization server failed too often, and is left alone for a while.",
            labels=("server",),
        )
        coalesced = in_flight = 0
        cache: dict[str, int] = dict.fromkeys(("hit", "negative_hit", "stale_hit", "coalesced", "miss"), 0)
        for name, server in self._current.servers.items():
            for result, count in tuple(server.results.items()):
                results.add_metric((name, result), count)
            duration.add_metric((name,), server.duration.buckets(), server.duration.total)
            coalesced += server.coalesced
            in_flight += server.in_flight
            cache["hit"] += server.hits
            cache["negative_hit"] += server.negative_hits
            cache["stale_hit"] += server.stale_hits
            cache["coalesced"] += server.coalesced
            circuits.add_metric((name,), server.circuit_open())
            cache["miss"] += server.misses
        yield results
        yield duration
        yield circuits
        yield _gauge("introspection_in_flight", "Introspections under way.", in_flight)
        waited = _counter("introspection_coalesced", "Requests that waited for another's introspection.")
        waited.add_metric((), coalesced)
        yield waited
        looked_up = _counter("cache_requests", "Look-ups of a token's answer.", "result")
        for result, count in cache.items():
            looked_up.add_metric((result,), count)
        yield looked_up
        yield _gauge("cache_entries", "Answers remembered.", self.cache_entries())
        evictions = _counter("cache_evictions", "Answers forgotten.", "reason")
        for reason, count in self.cache_evictions().items():
            evictions.add_metric((reason,), count)
        yield evictions
        yield _gauge("proofs_remembered", "DPoP proofs that were used and are remembered.", self.proofs())

    def _fetches(self) -> Iterator[Metric]:
        results = _counter(
            "fetches",
            "Fetches of what an authorization server gives: keys, metadata, tokens of our own.",
            "server",
            "document",
            "result",
        )
        duration = _histogram("fetch_duration_seconds", "Such a fetch, connection included.", "server", "document")
        for name, server in self._current.servers.items():
            for document, fetched in tuple(server.fetches.items()):
                for result, count in tuple(fetched.results.items()):
                    results.add_metric((name, document, result), count)
                duration.add_metric((name, document), fetched.duration.buckets(), fetched.duration.total)
        yield results
        yield duration

    def _state(self) -> Iterator[Metric]:
        yield _gauge(
            "config_last_reload_successful", "Whether the newest configuration took effect.", self.config_successful
        )
        yield _gauge(
            "config_last_reload_success_timestamp_seconds", "When a configuration last took effect.", self.config_loaded
        )
        reloads = _counter("config_reloads", "Times that the configuration was read again.", "result")
        for result, count in self.config_reloads.items():
            reloads.add_metric((result,), count)
        yield reloads
        config = GaugeMetricFamily("enforcer_config_info", "The configuration in effect.", labels=("hash",))
        config.add_metric((self.config_hash,), 1)
        yield config
        build = GaugeMetricFamily("enforcer_build_info", "The program that runs.", labels=("version",))
        build.add_metric((self._version,), 1)
        yield build
        yield _gauge("ready", "Whether requests are served.", self.ready)
        yield _gauge("draining", "Whether it is about to stop.", self.draining)


def _counter(name: str, documentation: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"enforcer_{name}", documentation, labels=labels)


def _histogram(name: str, documentation: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"enforcer_{name}", documentation, labels=labels)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"enforcer_{name}", documentation, value=float(value))
