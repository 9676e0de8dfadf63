"""Every metric of the enforcer. The request path increments plain numbers; a scrape turns them into metrics.

prometheus-client's own counters take a lock and its histograms run a loop for each event. Here an event is one addition
on one thread (`counters`). Names and labels are closed sets: no path, host, token or client creates a series.
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
from enforcer.share_report import SharedTable, ShareReport

_OVERHEAD: Final[Sequence[float]] = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
# RFC 9110 §9.3, RFC 5789
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"})

T = TypeVar("T")


class _NamedMetrics:
    """The counters of one configuration's rules, upstreams and authorization servers, by name."""

    __slots__ = ("routes", "servers", "upstreams")

    def __init__(self) -> None:
        self.routes: dict[str, RouteMetrics] = {}
        self.upstreams: dict[str, UpstreamMetrics] = {}
        self.servers: dict[str, IntrospectionMetrics] = {}


def _carry_over(current: dict[str, T], upcoming: dict[str, T], name: str, make: Callable[[], T]) -> T:
    """Return the counters of a name, the running ones if there are any, and add them to `upcoming`."""
    counters = upcoming.get(name) or current.get(name) or make()
    upcoming[name] = counters
    return counters


class Telemetry(Collector):
    """All counters of a process and their exposition."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._current = self._next = _NamedMetrics()
        self.overhead = Histogram(_OVERHEAD)
        self.in_flight: Callable[[], int] = int
        self.connections: Callable[[], int] = int
        self.dropped_decisions: Callable[[], int] = int
        self.dropped_log_lines: Callable[[], int] = int
        self.cache_entries: Callable[[], int] = int
        self.cache_evictions: Callable[[], Mapping[str, int]] = dict
        self.proofs: Callable[[], int] = int
        self.shares = {table: ShareReport(table) for table in SharedTable}
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
        """Return the counters of a rule; they continue if the previous configuration had a rule of this name."""
        return _carry_over(self._current.routes, self._next.routes, name, RouteMetrics)

    def upstream(self, name: str) -> UpstreamMetrics:
        return _carry_over(self._current.upstreams, self._next.upstreams, name, UpstreamMetrics)

    def server(self, name: str) -> IntrospectionMetrics:
        return _carry_over(self._current.servers, self._next.servers, name, IntrospectionMetrics)

    def begin(self) -> None:
        """Start collecting the counters of the next configuration; they are exposed once it takes effect (`loaded`)."""
        self._next = _NamedMetrics()

    def loaded(self, config_hash: str) -> None:
        """Note that a configuration took effect. Counters of names that it does not have are dropped."""
        self._current = self._next
        self.config_hash = config_hash
        self.config_loaded = time.time()
        self.config_successful = True

    def reloaded(self, config_hash: str) -> None:
        """Note a successful reload."""
        self.config_reloads["success"] += 1
        self.loaded(config_hash)

    def reload_failed(self) -> None:
        """Note a failed reload: the previous configuration stays in force."""
        self.config_reloads["failure"] += 1
        self.config_successful = False

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that the registry does not scrape at registration."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its current values."""
        yield from self._requests()
        yield from self._upstream()
        yield from self._introspection()
        yield from self._fetches()
        yield from self._state()

    def _requests(self) -> Iterator[Metric]:
        requests = _counter("requests", "Responses sent to clients, refusals included.", "route", "method", "code")
        decisions = _counter("decisions", "Authorization decisions.", "route", "decision", "reason")
        duration = _histogram(
            "request_duration_seconds", "Time from a request's head to the end of its response.", "route"
        )
        ended = _counter("streams_ended_by_reload", "Streams and tunnels that a reload ended.", "route")
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
        yield from (requests, decisions)
        yield _total("decisions_left_out", "Decisions that the log was too slow to write.", self.dropped_decisions())
        yield from (duration, ended)
        overhead = _histogram("overhead_duration_seconds", "Time from a request's head until it is sent upstream.")
        overhead.add_metric((), self.overhead.buckets(), self.overhead.total)
        yield overhead
        yield _gauge("requests_in_flight", "Requests in progress.", self.in_flight())
        yield _gauge("connections", "Open client connections.", self.connections())

    def _upstream(self) -> Iterator[Metric]:
        responses = _counter("upstream_requests", "Complete responses of an upstream.", "upstream", "code")
        errors = _counter("upstream_errors", "Requests without a complete upstream response.", "upstream", "reason")
        duration = _histogram(
            "upstream_duration_seconds", "Time from sending the request to the end of the response.", "upstream"
        )
        for name, upstream in self._current.upstreams.items():
            for code, count in tuple(upstream.responses.items()):
                responses.add_metric((name, str(code)), count)
            for reason, count in tuple(upstream.errors.items()):
                errors.add_metric((name, reason), count)
            duration.add_metric((name,), upstream.duration.buckets(), upstream.duration.total)
        yield from (responses, errors, duration)

    def _introspection(self) -> Iterator[Metric]:
        results = _counter(
            "introspection_requests", "Tokens introspected or verified by signature, by result.", "server", "result"
        )
        rejected = _counter("jwt_rejected", "JWTs that were rejected when they were verified.", "server", "reason")
        duration = _histogram(
            "introspection_duration_seconds", "Time of an introspection, including the connection.", "server"
        )
        circuits = GaugeMetricFamily(
            "enforcer_introspection_circuit_open",
            "1 while the circuit breaker of an authorization server is open.",
            labels=("server",),
        )
        for name, server in self._current.servers.items():
            for result, count in tuple(server.results.items()):
                results.add_metric((name, result), count)
            for reason, count in tuple(server.rejected.items()):
                rejected.add_metric((name, reason), count)
            duration.add_metric((name,), server.duration.buckets(), server.duration.total)
            circuits.add_metric((name,), server.circuit_open())
        yield from (results, rejected, duration, circuits)
        servers = self._current.servers.values()
        in_flight = sum(server.in_flight for server in servers)
        yield _gauge("introspection_in_flight", "Introspections in progress.", in_flight)
        coalesced = sum(server.coalesced for server in servers)
        text = "Requests that waited for another request's introspection of the same token."
        yield _total("introspection_coalesced", text, coalesced)
        lookups = {
            "hit": sum(server.hits for server in servers),
            "negative_hit": sum(server.negative_hits for server in servers),
            "stale_hit": sum(server.stale_hits for server in servers),
            "coalesced": coalesced,
            "miss": sum(server.misses for server in servers),
        }
        yield _counts("cache_requests", "Cache look-ups, by result.", "result", lookups)
        yield _gauge("cache_entries", "Entries in the token cache.", self.cache_entries())
        yield _counts("cache_evictions", "Entries removed from the token cache.", "reason", self.cache_evictions())
        yield _gauge("proofs_remembered", "Used DPoP proofs in the replay cache.", self.proofs())

    def _fetches(self) -> Iterator[Metric]:
        text = "Fetches from an authorization server: keys, metadata, the enforcer's own token."
        results = _counter("fetches", text, "server", "document", "result")
        duration = _histogram(
            "fetch_duration_seconds", "Time of such a fetch, including the connection.", "server", "document"
        )
        for name, server in self._current.servers.items():
            for document, fetched in tuple(server.fetches.items()):
                for result, count in tuple(fetched.results.items()):
                    results.add_metric((name, document, result), count)
                duration.add_metric((name, document), fetched.duration.buckets(), fetched.duration.total)
        yield from (results, duration)

    def _state(self) -> Iterator[Metric]:
        yield _gauge("config_last_reload_successful", "1 if the last reload took effect.", self.config_successful)
        text = "Time of the last successful load, in seconds since the epoch."
        yield _gauge("config_last_reload_success_timestamp_seconds", text, self.config_loaded)
        yield _counts("config_reloads", "Reloads of the configuration.", "result", self.config_reloads)
        yield _info("config_info", "The hash of the configuration in force.", "hash", self.config_hash)
        yield _info("build_info", "The running version.", "version", self._version)
        text = "Log lines that were dropped, because standard error was read too slowly."
        yield _total("log_lines_dropped", text, self.dropped_log_lines())
        held_back = {report.table.value: report.count for report in self.shares.values()}
        text = "Times that a client's share kept it from more of a table that clients share."
        yield _counts("share_exceeded", text, "table", held_back)
        yield _gauge("ready", "1 while requests are served.", self.ready)
        yield _gauge("draining", "1 while draining before the process stops.", self.draining)


def _counter(name: str, documentation: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"enforcer_{name}", documentation, labels=labels)


def _counts(name: str, documentation: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = _counter(name, documentation, label)
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def _total(name: str, documentation: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(f"enforcer_{name}", documentation, value=value)


def _info(name: str, documentation: str, label: str, value: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"enforcer_{name}", documentation, labels=(label,))
    family.add_metric((value,), 1)
    return family


def _histogram(name: str, documentation: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"enforcer_{name}", documentation, labels=labels)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"enforcer_{name}", documentation, value=float(value))
