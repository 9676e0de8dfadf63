"""Connection pool and circuit breaker of one server that the enforcer calls."""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.units import Bytes, Count, Seconds, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings(Section):
    """Limits and timeouts of the connections to one server."""

    connections: Count = 1024
    """Maximum number of connections; more concurrent requests wait in the queue. With HTTP/2, where many requests share
    a connection, it is the maximum number of concurrent requests. Protects the server."""
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
class StreamSettings(Section):
    """Streams to an app: tunnels, responses of type `text/event-stream` without a length, and long exchanges.

    They have connections of their own, so that no short request waits for them.
    """

    connections: Count = 1024
    """Maximum number of streams, besides `pool.connections`. One more tunnel or event stream is answered 503; one more
    long exchange keeps its place among the short ones. Bounds memory and descriptors, and protects the app."""
    after: Seconds = 5.0
    """Time after which an exchange is taken for a stream: a long poll, a download, a slow upload. Not more than
    `pool.queue_timeout`, so that requests which wait for such exchanges get their places before they give up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionPool(PoolSettings):
    """Limits and timeouts of the connections to an authorization server."""

    connections: Count = 128
    """Maximum number of connections; more concurrent calls wait in the queue. Few, because calls are short and the
    server is shared, but enough for many clients that each have calls without a response."""
    queue: Count = 4096
    """Maximum number of calls waiting for a connection; one more is answered 503 at once. Bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings(Section):
    """When introspection requests are no longer sent to a server that does not respond.

    A response of any kind keeps the circuit breaker closed, because nobody waits for it.
    """

    failures: Count = 3
    """Requests of one client without a response, in a row, after which the client is answered 503 at once; and clients
    with tokens that were active before and get no response, after which all clients are. A single probe of our own is
    enough if it finds no connection, or if it gets no response from a server that responded to such probes before."""
    pause: Seconds = 1.0
    """Time between two probes of a server that does not respond, and between two requests of one client that are sent
    all the same. Bounds the time until the end of an outage is noticed."""
    unproven: Count = 2
    """Maximum number of concurrent requests of a client that has sent no active token yet; more wait in the queue. Each
    active token allows one more, up to `pool.connections`. Made-up tokens occupy few connections then, even if the
    server takes long to respond to them."""
    max_retry_after: Seconds = 30.0
    """Maximum time for which Retry-After of a 429 or 503 of the server is heeded. No more requests are sent for the
    client whose request got it; it is answered 503 with the rest of the time."""
    clients: Count = 10_000
    """Maximum number of clients with a record of their own (about 500 B each); the one that was used least recently is
    dropped first. Bounds memory."""
