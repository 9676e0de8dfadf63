"""Every metric of the enforcer. The request path increments plain numbers; a scrape turns them into metrics.

prometheus-client's own counters take a lock, its histograms run a loop for each event, and it renders all series in one
go. Here an event is one addition on one thread (`counters`), and a scrape is rendered in pieces (`exposition`). Names
and labels are closed sets: no path, host, token or client creates a series.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, generate_latest

from enforcer.counters import DoorMetrics, Histogram, IntrospectionMetrics, RouteMetrics, UpstreamMetrics
from enforcer.exposition import family, labels
from enforcer.share_report import SharedTable, ShareReport

_OVERHEAD: Final[Sequence[float]] = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

_PROCESS: Final = CollectorRegistry()
"""Metrics of the process and the interpreter."""
for _collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
    _PROCESS.register(_collector)

T = TypeVar("T")


class _NamedMetrics:
    """The counters of one configuration's rules, upstreams and authorization servers, by name."""

    __slots__ = ("doors", "routes", "servers", "upstreams")

    def __init__(self) -> None:
        self.doors: dict[str, DoorMetrics] = {}
        self.routes: dict[str, RouteMetrics] = {}
        self.upstreams: dict[str, UpstreamMetrics] = {}
        self.servers: dict[str, IntrospectionMetrics] = {}


def _carry_over(current: dict[str, T], upcoming: dict[str, T], name: str, make: Callable[[], T]) -> T:
    """Return the counters of a name, the running ones if there are any, and add them to `upcoming`."""
    counters = upcoming.get(name) or current.get(name) or make()
    upcoming[name] = counters
    return counters


class Telemetry:
    """All counters of a process and their exposition."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._current = self._next = _NamedMetrics()
        self.overhead = Histogram(_OVERHEAD)
        self.in_flight: Callable[[], int] = int
        self.connections: Callable[[], int] = int
        self.dropped_decisions: Callable[[], int] = int
        self.dropped_log_lines: Callable[[], int] = int
        self.admin_refusals: Callable[[], Mapping[str, int]] = dict
        self.connection_memory: Callable[[], int] = int
        self.cut_for_memory: Callable[[], int] = int
        self.held_input: Callable[[], int] = int
        self.closed_for_input: Callable[[], int] = int
        self.http2_ended: Callable[[], int] = int
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

    def route(self, name: str) -> RouteMetrics:
        """Return the counters of a rule; they continue if the previous configuration had a rule of this name."""
        return _carry_over(self._current.routes, self._next.routes, name, RouteMetrics)

    def upstream(self, name: str) -> UpstreamMetrics:
        return _carry_over(self._current.upstreams, self._next.upstreams, name, UpstreamMetrics)

    def server(self, name: str) -> IntrospectionMetrics:
        return _carry_over(self._current.servers, self._next.servers, name, IntrospectionMetrics)

    def door(self, name: str) -> DoorMetrics:
        """Return the counters of a door, by the name of its contract."""
        return _carry_over(self._current.doors, self._next.doors, name, DoorMetrics)

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
        return "".join((process_metrics(), *self.pieces())).encode()

    def pieces(self) -> Iterator[str]:
        """Yield our own metrics in pieces of bounded work, however many series there are."""
        named = self._current
        yield from self._requests(named.routes)
        yield from _doors(named.doors)
        yield from _upstream(named.upstreams)
        yield from self._introspection(named.servers)
        yield from _fetches(named.servers)
        yield from self._state()

    def _requests(self, routes: Mapping[str, RouteMetrics]) -> Iterator[str]:
        yield from _counter(
            "requests",
            "Responses sent to clients, refusals included.",
            (
                (labels(code=code, method=method, route=name), count)
                for name, route in routes.items()
                for (method, code), count in _requests_by_method(route).items()
            ),
        )
        yield from _counter(
            "decisions",
            "Authorization decisions.",
            (
                (labels(decision=decision, reason=reason, route=name), count.value)
                for name, route in routes.items()
                for (decision, reason), count in tuple(route.decisions.items())
            ),
        )
        text = "Decisions that the log was too slow to write."
        yield from _counter("decisions_left_out", text, [("", self.dropped_decisions())])
        yield from _histogram(
            "request_duration_seconds",
            "Time from a request's head to the end of its response.",
            ((labels(route=name), route.duration) for name, route in routes.items() if route.requests),
        )
        yield from _counter(
            "streams_ended_by_reload",
            "Streams and tunnels that a reload ended.",
            ((labels(route=name), route.ended_by_reload) for name, route in routes.items() if route.ended_by_reload),
        )
        text = "Time from a request's head until it is sent upstream."
        yield from _histogram("overhead_duration_seconds", text, [("", self.overhead)])
        yield from _gauge("requests_in_flight", "Requests in progress.", self.in_flight())
        yield from _gauge("connections", "Open client connections.", self.connections())
        text = "Memory of client connections and what is in flight on them."
        yield from _gauge("connection_memory_bytes", text, self.connection_memory())
        text = "Connections cut because limits.connection_memory had no room for what they held."
        yield from _counter("connection_memory_exceeded", text, [("", self.cut_for_memory())])
        yield from _gauge("held_input_bytes", "Input that was read and waits for its turn.", self.held_input())
        text = "Connections closed because limits.held_input had no room for what they had sent."
        yield from _counter("held_input_exceeded", text, [("", self.closed_for_input())])
        text = "HTTP/2 connections of clients that were ended because of a fault, or of one of limits.http2."
        yield from _counter("http2_connections_ended", text, [("", self.http2_ended())])

    def _introspection(self, servers: Mapping[str, IntrospectionMetrics]) -> Iterator[str]:
        yield from _counter(
            "introspection_requests",
            "Tokens introspected or verified by signature, by result.",
            (
                (labels(result=result, server=name), count)
                for name, server in servers.items()
                for result, count in tuple(server.results.items())
            ),
        )
        yield from _counter(
            "jwt_rejected",
            "JWTs that were rejected when they were verified.",
            (
                (labels(reason=reason, server=name), count)
                for name, server in servers.items()
                for reason, count in tuple(server.rejected.items())
            ),
        )
        yield from _histogram(
            "introspection_duration_seconds",
            "Time of an introspection, including the connection.",
            ((labels(server=name), server.duration) for name, server in servers.items()),
        )
        yield from family(
            "enforcer_introspection_circuit_open",
            "gauge",
            "1 while the circuit breaker of an authorization server is open.",
            ((labels(server=name), server.circuit_open()) for name, server in servers.items()),
        )
        in_flight = sum(server.in_flight for server in servers.values())
        yield from _gauge("introspection_in_flight", "Introspections in progress.", in_flight)
        coalesced = sum(server.coalesced for server in servers.values())
        text = "Requests that waited for another request's introspection of the same token."
        yield from _counter("introspection_coalesced", text, [("", coalesced)])
        lookups = {
            "hit": sum(server.hits for server in servers.values()),
            "negative_hit": sum(server.negative_hits for server in servers.values()),
            "stale_hit": sum(server.stale_hits for server in servers.values()),
            "coalesced": coalesced,
            "miss": sum(server.misses for server in servers.values()),
        }
        yield from _counts("cache_requests", "Cache look-ups, by result.", "result", lookups)
        yield from _gauge("cache_entries", "Entries in the token cache.", self.cache_entries())
        text = "Entries removed from the token cache."
        yield from _counts("cache_evictions", text, "reason", self.cache_evictions())
        yield from _gauge("proofs_remembered", "Used DPoP proofs in the replay cache.", self.proofs())

    def _state(self) -> Iterator[str]:
        yield from _gauge("config_last_reload_successful", "1 if the last reload took effect.", self.config_successful)
        text = "Time of the last successful load, in seconds since the epoch."
        yield from _gauge("config_last_reload_success_timestamp_seconds", text, self.config_loaded)
        yield from _counts("config_reloads", "Reloads of the configuration.", "result", self.config_reloads)
        yield from _info("config_info", "The hash of the configuration in force.", "hash", self.config_hash)
        yield from _info("build_info", "The running version.", "version", self._version)
        text = "Requests and connections that the admin server refused or ended."
        yield from _counts("admin_refusals", text, "reason", self.admin_refusals())
        text = "Log lines that were dropped, because standard error was read too slowly."
        yield from _counter("log_lines_dropped", text, [("", self.dropped_log_lines())])
        held_back = {report.table.value: report.count for report in self.shares.values()}
        text = "Times that a client's share kept it from more of a table that clients share."
        yield from _counts("share_exceeded", text, "table", held_back)
        yield from _gauge("ready", "1 while requests are served.", self.ready)
        yield from _gauge("draining", "1 while draining before the process stops.", self.draining)


def process_metrics() -> str:
    """Return the metrics of the process and the interpreter. Takes longer the more descriptors are open."""
    return generate_latest(_PROCESS).decode()


def _doors(doors: Mapping[str, DoorMetrics]) -> Iterator[str]:
    yield from _counter(
        "decision_api_requests",
        "Requests to the decision API, by contract and result.",
        (
            (labels(door=name, result=result), count)
            for name, door in doors.items()
            for result, count in tuple(door.results.items())
        ),
    )
    yield from _counter(
        "decision_api_ignored_fields",
        "Fields of other contracts in requests to the decision API, by the listener's contract.",
        (
            (labels(door=name, field=field), count)
            for name, door in doors.items()
            for field, count in tuple(door.ignored.items())
        ),
    )


def _upstream(upstreams: Mapping[str, UpstreamMetrics]) -> Iterator[str]:
    yield from _counter(
        "upstream_requests",
        "Complete responses of an upstream.",
        (
            (labels(code=str(code), upstream=name), count.value)
            for name, upstream in upstreams.items()
            for code, count in tuple(upstream.responses.items())
        ),
    )
    yield from _counter(
        "upstream_errors",
        "Requests without a complete upstream response.",
        (
            (labels(reason=reason, upstream=name), count)
            for name, upstream in upstreams.items()
            for reason, count in tuple(upstream.errors.items())
        ),
    )
    yield from family(
        "enforcer_upstream_streams",
        "gauge",
        "Open streams and tunnels to an upstream.",
        [(labels(upstream=name), upstream.streams()) for name, upstream in upstreams.items()],
    )
    yield from _histogram(
        "upstream_duration_seconds",
        "Time from sending the request to the end of the response.",
        ((labels(upstream=name), upstream.duration) for name, upstream in upstreams.items()),
    )


def _fetches(servers: Mapping[str, IntrospectionMetrics]) -> Iterator[str]:
    fetches = [
        (name, document, fetched)
        for name, server in servers.items()
        for document, fetched in tuple(server.fetches.items())
    ]
    yield from _counter(
        "fetches",
        "Fetches from an authorization server: keys, metadata, the enforcer's own token.",
        (
            (labels(document=document, result=result, server=name), count)
            for name, document, fetched in fetches
            for result, count in tuple(fetched.results.items())
        ),
    )
    yield from _histogram(
        "fetch_duration_seconds",
        "Time of such a fetch, including the connection.",
        ((labels(document=document, server=name), fetched.duration) for name, document, fetched in fetches),
    )


def _requests_by_method(route: RouteMetrics) -> Mapping[tuple[str, str], int]:
    """Return the requests by method and status."""
    return {(method.decode(), str(code)): count.value for (method, code), count in tuple(route.requests.items())}


def _counter(name: str, text: str, samples: Iterable[tuple[str, int]]) -> Iterator[str]:
    return family(f"enforcer_{name}_total", "counter", text, samples)


def _counts(name: str, text: str, label: str, counts: Mapping[str, int]) -> Iterator[str]:
    return _counter(name, text, [(labels(**{label: value}), count) for value, count in counts.items()])


def _info(name: str, text: str, label: str, value: str) -> Iterator[str]:
    return family(f"enforcer_{name}", "gauge", text, [(labels(**{label: value}), 1)])


def _histogram(name: str, text: str, samples: Iterable[tuple[str, Histogram]]) -> Iterator[str]:
    return family(f"enforcer_{name}", "histogram", text, samples)


def _gauge(name: str, text: str, value: float) -> Iterator[str]:
    return family(f"enforcer_{name}", "gauge", text, [("", value)])
