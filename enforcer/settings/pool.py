"""Connection pool and circuit breaker of one server that the enforcer calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from enforcer.units import CLOSED, Bytes, Count, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Limits and times of the connections to one server."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    connections: Count = 256
    """Connections at most; more concurrent requests wait in the queue. Protects the server behind."""
    queue: Count = 1024
    """Requests that may wait for a connection; one more is answered 503 at once. Bounds memory."""
    queue_timeout: Seconds = 5.0
    """How long a request may wait for a connection. A client that waited longer has mostly given up."""
    connect_timeout: Seconds = 2.0
    """How long opening a connection may take, TLS included."""
    response_timeout: Seconds = 60.0
    """How long the server may take until its answer's head is there, counted from the last byte sent to it."""
    idle_timeout: Seconds = 300.0
    """How long an answer that has begun may pause between two bytes. Cuts dead streams."""
    keep_alive_timeout: Seconds = 4.0
    """How long an unused connection is kept: less than the 5 s after which common app servers close theirs."""
    head: Bytes = 65536
    """Size of an answer's head at most. Bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionPool(PoolSettings):
    """Limits and times of the connections to an authorization server."""

    connections: Count = 32
    """Connections at most; more concurrent calls wait in the queue. Few: calls are short, and the server is shared."""
    queue: Count = 4096
    """Calls that may wait for a connection; one more is answered 503 at once. Bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When a server that fails is left alone."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    failures: Count = 5
    """Calls that fail in a row before no more are made for a while. Requests are then answered at once."""
    pause: Seconds = 2.0
    """How long no call is made; then one is, to see. Short, since good tokens wait for its end."""
