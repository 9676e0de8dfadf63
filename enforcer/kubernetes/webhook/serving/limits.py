"""The limits of a listener."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a listener. A peer is the address that connections come from."""

    body: int
    """Bytes of a request's body; a request with a larger one gets 413."""
    bodies: int
    """Bytes of the bodies of all running requests. A peer may hold as many as it leaves to all others; a request above
    that gets 503, and API servers retry it."""
    held_input: int = 16 * 1024 * 1024
    """Bytes of TLS that were read and wait for their turns. A peer may hold as many as it leaves to all others; a
    connection that brings more is closed."""
    connections: int
    """Connections. Above this, the peer with the most connections without an accepted request loses one of these."""
    peer_connections: int
    """Connections of a peer; further ones are reset."""
    newcomers: int = 4
    """Connections of a peer that make a handshake or send their first request; further ones wait without cost."""
    newcomer_seconds: float = 5.0
    """Seconds from a connection to the acceptance of its first request: handshakes take milliseconds in a cluster."""
    penalty_seconds: float = 1.0
    """Seconds for which a connection without an accepted request keeps its place among the newcomers, so that a peer
    causes at most `newcomers / penalty_seconds` futile handshakes per second."""
    head: int = 8 * 1024
    """Bytes of a request's head: API servers send less than 1 KiB."""
    body_seconds: float = 5.0
    """Seconds to receive a body."""
    response_seconds: float = 10.0
    """Seconds to respond."""
    idle_seconds: float = 60.0
    """Seconds that a connection may wait for the next request, or for a client that does not read its response."""
