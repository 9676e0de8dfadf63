"""Limits and timeouts of what a client sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from enforcer.units import Bytes, Count, Percentage, Seconds, SecondsOrZero, Section

DEFAULT_SHARE: Final = 75
"""The default of `limits.client_share`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenSettings(Section):
    """Limits on the unseen tokens of a client: an IPv4 address, or a /64 of IPv6 addresses."""

    rate: Count = 1000
    """Unseen tokens a second, on average; one more is answered 429. Protects the authorization server. DPoP proofs with
    a wrong signature are counted separately, with the same limits."""
    burst: Count = 2000
    """Unseen tokens at once. Allows a start with an empty cache."""
    addresses: Count = 10_000
    """Maximum number of clients counted separately. If so many have used up a part of their limits, all others are
    counted by network: an IPv4 /16, or IPv6 /32. Bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Limits(Section):
    """Limits on an HTTP/2 connection of a client. The limits of a request hold for each stream."""

    streams: Count = 100
    """Maximum number of requests at once on a connection; one more is refused, and may be sent again. Bounds memory."""
    window: Bytes = 65_536
    """Maximum number of bytes of a request body that a client sends before the upstream takes them: the window of a
    stream, at least 64KiB. Bounds memory."""
    resets: Count = 100
    """Streams that a client may cancel, or make the enforcer reset, at once, and as many more a second; then the
    connection is closed. Cuts rapid resets (CVE-2023-44487, CVE-2025-8671)."""
    control_frames: Count = 1000
    """Frames that move no message (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown types), or belong to a
    stream that has ended, at once, and as many more a second; then the connection is closed. DATA that the enforcer
    sends permits more, since it causes WINDOW_UPDATE. Cuts floods (CVE-2019-9512 to -9518)."""
    field_section: Bytes = 24_576
    """Maximum size of a field section as it is compressed; a larger one closes the connection. A head of `limits.head`
    is seldom larger. One with more than twice `limits.fields`, or larger than four times `limits.head` when decoded,
    closes the connection, too. Bounds work and memory (CVE-2024-27316)."""
    continuations: Count = 16
    """Maximum number of CONTINUATION frames of a field section; one more closes the connection. Bounds work."""

    def __post_init__(self) -> None:
        if self.window < 65_536:
            raise ValueError("window must be at least 64KiB: a client may send as much before it knows the limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Section):
    """Limits on what a client may send."""

    connections: Count = 10_000
    """Maximum number of client connections, TLS handshakes included. One more is answered 503 and closed, or closed
    without a response if it uses TLS. Bounds memory and descriptors."""
    client_share: Percentage = DEFAULT_SHARE
    """Largest part that one client, an IPv4 address or the /64 of an IPv6 address, may hold of what clients share:
    connections and their memory, connections to each upstream and authorization server, their queues, and recorded
    decisions. The part shrinks while others hold something, so that some is left for every client: with 75%, two
    clients get 43% each, and ten 10%. More than the share waits, or is answered 503; a new connection takes the place
    of an idle one of its client. A client of a trusted proxy is known by the address that the proxy names, and the
    proxy's own connections have no share. 100%: no shares."""
    held_input: Bytes = 64 * 1024**2
    """Maximum size of what clients and upstreams have sent and is not processed yet, because it came faster than their
    turns; a connection holds at most one read, 256 KB. If there is no room, or its client has its share, the connection
    is closed. Bounds memory."""
    connection_memory: Bytes = 128 * 1024**2
    """Maximum memory of client connections and what is in flight on them: 4 KiB each, 40 KiB more with TLS; request
    heads; and what clients and upstreams have not read yet. A connection that finds no room is refused, and one that
    needs more than there is left, or more than its client's share, is cut. Bounds memory."""
    head: Bytes = 32768
    """Maximum size of a request head; a larger one is answered 431. Bounds memory."""
    fields: Count = 100
    """Maximum number of header fields in a request; more are answered 431. Bounds work."""
    target: Bytes = 8192
    """Maximum size of a request target; a larger one is answered 414. Bounds work."""
    token: Bytes = 8192
    """Maximum size of an access token; a larger one is answered 431, before any work is done with it."""
    body: Bytes = 1024**3
    """Maximum size of a request body; a larger one is answered 413. Counted while the body streams, because it is never
    held in memory."""
    body_rate: Bytes = 240
    """Minimum average rate of a request body, per second, after a first period of `timeouts.body`. Cuts slow-body
    attacks."""
    unseen_tokens: UnseenSettings = field(default_factory=UnseenSettings)
    """Limits on the unseen tokens of a client; cached active tokens are not counted."""
    http2: Http2Limits = field(default_factory=Http2Limits)
    """Limits on an HTTP/2 connection of a client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts(Section):
    """Timeouts for clients, exact to a fifth of a second, and never early."""

    handshake: Seconds = 10.0
    """From accepting a connection to the end of the TLS handshake. Cuts clients that begin one and stall."""
    head: Seconds = 10.0
    """From the first byte of a request head to its last. Cuts slow-header attacks."""
    body: Seconds = 30.0
    """Between two reads of a request body, and between two reads of a response by the client. Cuts clients that
    stall."""
    keep_alive: Seconds = 75.0
    """Between two requests on a connection."""
    tunnel: Seconds = 600.0
    """Without a byte in either direction on an upgraded connection."""
    linger: Seconds = 2.0
    """Time in which a client may go on sending after a refusal, so that it can read the refusal."""
    shutdown_delay: SecondsOrZero = 5.0
    """Time in which requests are still served after SIGTERM or `enforcer drain`. Each response then announces that the
    connection closes, and /readyz reports draining, so that load balancers such as Kubernetes Services stop sending
    requests first. Not applied after SIGINT (Ctrl-C)."""
    drain: Seconds = 20.0
    """Timeout of running exchanges after that, in whole seconds, rounded up; longer ones are cut. Keep both together
    below the time after which the process is killed: with Kubernetes `terminationGracePeriodSeconds`, default 30."""
