"""Limits and timeouts of what a client sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from enforcer.units import CLOSED, Bytes, Count, Seconds, SecondsOrZero


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenSettings:
    """How many tokens that were never seen before a client address may send."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    rate: Count = 1000
    """A second, on average; one more is answered 429. Protects the authorization server. DPoP proofs with a wrong
    signature are counted apart, by the same numbers."""
    burst: Count = 2000
    """At once. Room for a start with an empty cache."""
    addresses: Count = 10_000
    """Addresses that are told apart at most; the one longest unseen is forgotten first. Bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may send."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    connections: Count = 10_000
    """Client connections at most, TLS handshakes included; one more is answered 503 and closed, or dropped where it is
    to be TLS. Bounds memory and descriptors."""
    pipelined: Count = 16
    """Requests on one connection that may wait for the one before; beyond, it closes after these. Bounds memory."""
    head: Bytes = 32768
    """Size of a request's head at most, else 431. Bounds memory."""
    fields: Count = 100
    """Header fields of a request at most, else 431. Bounds work."""
    target: Bytes = 8192
    """Size of a request-target at most, else 414. Bounds work."""
    token: Bytes = 8192
    """Size of an access token at most, else 431, before anything is computed from it."""
    body: Bytes = 1024**3
    """Size of a request's body at most, else 413; counted as it streams, since it is never held."""
    body_rate: Bytes = 240
    """Bytes a second that a body must come with on average, after a first `timeouts.body`. Cuts a client that drips."""

    unseen_tokens: UnseenSettings = field(default_factory=UnseenSettings)
    """Tokens never seen before that a client address may send; known good ones are not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a client may take. All are kept to within a fifth of a second, and never early."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    handshake: Seconds = 10.0
    """From accepting a connection until TLS is agreed on. Cuts a client that begins and stalls."""
    head: Seconds = 10.0
    """From the first byte of a head to its last. Cuts a client that drips."""
    body: Seconds = 30.0
    """Between two reads of a body, or of an answer by the client. Cuts a client that stalls."""
    keep_alive: Seconds = 75.0
    """Between two requests of a connection."""
    tunnel: Seconds = 600.0
    """Without a byte in either direction of an upgraded connection."""
    linger: Seconds = 2.0
    """For a client to stop sending after a refusal, so that it can read the refusal."""
    shutdown_delay: SecondsOrZero = 5.0
    """How long everybody is still served after SIGTERM or `enforcer drain`, told on each answer that the connection
    closes, while /readyz says that it drains: for load balancers, such as Kubernetes' Services, to look elsewhere
    first. Not after SIGINT, as of Ctrl-C."""
    drain: Seconds = 20.0
    """For running exchanges to end after that, in whole seconds, rounded up; what runs longer is cut. Both together
    stay below the time after which one is killed: with Kubernetes `terminationGracePeriodSeconds`, 30 unless set."""
