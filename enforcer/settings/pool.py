"""Connection pool and circuit breaker of one server that the enforcer calls."""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.units import Bytes, Count, Seconds, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings(Section):
    """Limits and timeouts of the connections to one server."""

    connections: Count = 1024
    """Maximum number of connections; more concurrent requests wait in the queue. Protects the server."""
    queue: Count = 1024
    """Maximum number of requests waiting for a connection; one more is answered 503 at once. Bounds memory."""
    queue_timeout: Seconds = 5.0
    """Timeout of waiting for a connection. A client that has waited longer has usually given up."""
    connect_timeout: Seconds = 2.0
    """Timeout of opening a connection, TLS included."""
    address_lifetime: Seconds = 5.0
    """Lifetime of the addresses of the server's name; after it, a new connection resolves the name again. Bounds how
    late a moved server is noticed."""
    address_pause: Seconds = 30.0
    """Time for which an address that did not accept a connection is tried only after all others of the name. It delays
    the first connection after that by 250 ms, the time between two attempts (RFC 8305)."""
    response_timeout: Seconds = 60.0
    """Timeout of the response head, counted from the last byte sent to the server."""
    idle_timeout: Seconds = 300.0
    """Timeout between two bytes of a response body. Cuts dead streams."""
    keep_alive_timeout: Seconds = 4.0
    """Lifetime of an unused connection: less than the 5 s after which common app servers close theirs."""
    head: Bytes = 65536
    """Maximum size of a response head. Bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionPool(PoolSettings):
    """Limits and timeouts of the connections to an authorization server."""

    connections: Count = 32
    """Maximum number of connections; more concurrent calls wait in the queue. Few, because calls are short and the
    server is shared."""
    queue: Count = 4096
    """Maximum number of calls waiting for a connection; one more is answered 503 at once. Bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings(Section):
    """When a failing server is no longer called."""

    failures: Count = 5
    """Consecutive failures after which calls stop for a while. Requests are then answered at once."""
    pause: Seconds = 2.0
    """Time without calls; then one call probes the server. Short, because valid tokens wait for it to end."""
