"""A circuit breaker: stops introspection requests to a server that responds to nobody, so that no client waits for it.

Pure: `now` is seconds of any monotonic clock.

Some servers respond to a token that they do not know with an error, reset the connection, or do not respond at all, and
are fine with all others. So a failure may be due to its token, and a client that invents tokens must not stop the
requests of other clients. The breaker opens only by what no client can cause, while no request gets a response:

1. A probe, with a token that we made up ourselves, gets no connection; or no response, although earlier probes got one.
2. Tokens that are known to be good get no response, those of several clients.

Any response closes it, whatever it says: a server that responds keeps nobody waiting.
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final

from enforcer.settings.connections.pool import BreakerSettings

FIRST_PROBE: Final = 10.0
"""Seconds after the first response until a first probe shows whether the server responds to tokens that we make up."""


class Contact(Enum):
    """The evidence about its server that an introspection request gives."""

    RESPONSE = "it sent a response, whatever it says"
    SILENCE = "it got the request, and sent no response"
    NO_CONNECTION = "no connection could be opened, so that the token had no part in the failure"
    NOT_SENT = "nothing was sent, for a reason of our own"


class CircuitBreaker:
    """The state of one server. `responses` counts its responses, so that a failure can be seen to be outdated."""

    __slots__ = (
        "_first_probe_at", "_probe_from", "_responds_to_probes", "_settings", "_silent", "is_open", "responses",
        "suspected",
    )  # fmt: skip

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._silent: set[str] = set()  # clients whose known tokens got no response since the last response to anybody
        self._responds_to_probes = False
        self._first_probe_at = inf
        self._probe_from = -inf
        self.responses = 0
        self.is_open = False
        """Whether requests are stopped."""
        self.suspected = False
        """Whether a request has failed since the last response."""

    def record(self, contact: Contact, responses: int, known: str | None, now: float) -> None:
        """Record the end of a request that was sent at a count of `responses`; `known`: the client of a known token."""
        if contact is Contact.RESPONSE:
            self._record_response(now)
        elif contact is not Contact.NOT_SENT and responses == self.responses:
            self.suspected = True
            if known is not None and contact is Contact.SILENCE:
                self._silent.add(known)
                self.is_open = self.is_open or len(self._silent) >= self._settings.failures

    def record_probe(self, contact: Contact, responses: int, now: float) -> None:
        """Record the end of a probe that was sent at a count of `responses`."""
        if contact is Contact.RESPONSE:
            self._responds_to_probes = True
            self._record_response(now)
        elif responses == self.responses:
            silent = contact is Contact.SILENCE and self._responds_to_probes
            if silent or contact is Contact.NO_CONNECTION:
                self.is_open = self.suspected = True

    def _record_response(self, now: float) -> None:
        if not self.responses:
            self._first_probe_at = now + FIRST_PROBE
        self.responses += 1
        self.is_open = self.suspected = False
        self._silent.clear()

    @property
    def needs_probes(self) -> bool:
        """Whether a probe is due, now or later."""
        return self.suspected or self._first_probe_at < inf

    def take_probe(self, now: float) -> bool:
        """Return whether a probe is to be sent now; it is then reported with `record_probe`."""
        if self.suspected:
            due = now >= self._probe_from
        else:
            due = now >= self._first_probe_at
        if due:
            self._probe_from = now + self._settings.pause
            self._first_probe_at = inf
        return due
