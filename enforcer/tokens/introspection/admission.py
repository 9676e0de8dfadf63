"""Which introspection requests may be sent now: each client has its own record, and pays for its own tokens.

Pure: `now` is seconds of any monotonic clock.

1. A client begins with a few requests at a time, and may have one more after each active token. So tokens that are made
   up hold few connections, however slow the server is with them, and only other requests of the same client wait.
2. A client whose requests got no response, several in a row, waits no longer until the server has responded to anybody.
   Then one of its requests at a time is sent, until one gets a response.
3. Requests that are refused are not all lost: one of each client goes on after each pause, and nobody waits for it. So
   the end of an outage is noticed even if the server does not respond to our own probes.
4. A server that asks to be left alone (Retry-After) is asked no more for the client whose token it was about.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from enforcer.settings.connections.pool import BreakerSettings, PoolSettings
from enforcer.tokens.introspection.breaker import CircuitBreaker, Contact
from enforcer.tokens.lookup import Lookup


class Admission(Enum):
    """The fate of a lookup."""

    SEND = "send a request"
    TRY = "refuse it, and send a request all the same, for which nobody waits"
    WAIT = "let it wait for an earlier one of its client"
    REFUSE = "refuse it"


class Waiting(Protocol):
    """A lookup that waits until `deadline`."""

    deadline: float


T = TypeVar("T", bound=Waiting)

_CANDIDATES: Final = 32
"""Records that are looked at to drop one. If all have requests, none is dropped; `pool` bounds how many those are."""


class _Client(Generic[T]):
    """The record of one client: `window` is how many requests it may have, `failures` how many failed in a row."""

    __slots__ = ("failures", "held_until", "in_flight", "line", "responses", "try_from", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.in_flight = self.failures = self.responses = 0
        self.held_until = self.try_from = float("-inf")
        self.line: deque[T] = deque()


class LookupAdmission(Generic[T]):
    """The records of all clients of one server."""

    def __init__(self, settings: BreakerSettings, pool: PoolSettings) -> None:
        self._settings = settings
        self._pool = pool
        self._clients: OrderedDict[str, _Client[T]] = OrderedDict()
        self._waiting = 0
        self.breaker = CircuitBreaker(settings)

    def held(self, client: str, now: float) -> float:
        """Return for how many seconds the server asked to be left alone after a request of this client."""
        record = self._clients.get(client)
        return 0.0 if record is None else max(record.held_until - now, 0.0)

    def admit(self, lookup: Lookup, now: float) -> Admission:
        """Return what to do with a lookup. After WAIT call `wait`, after SEND and TRY `begin`."""
        record = self._record(lookup.client)
        if self._is_stopped(record):
            if record.in_flight or now < record.try_from:
                return Admission.REFUSE
            record.try_from = now + self._settings.pause
            return Admission.TRY
        if record.failures >= self._settings.failures:
            return Admission.REFUSE if record.in_flight else Admission.SEND
        if lookup.known or record.in_flight < record.window:
            return Admission.SEND
        # At most as many as there is room left, so that there is room for another client.
        return Admission.WAIT if len(record.line) < self._pool.queue - self._waiting else Admission.REFUSE

    def begin(self, client: str) -> int:
        """Count a request that is sent now; returns the count of responses to end it with."""
        self._record(client).in_flight += 1
        return self.breaker.responses

    def end(self, lookup: Lookup, contact: Contact, responses: int, now: float, *, active: bool) -> None:
        """Record the end of a request that began at a count of `responses`; `active`: the token is active."""
        record = self._record(lookup.client)
        self.breaker.record(contact, responses, lookup.client if lookup.known else None, now)
        record.in_flight -= 1
        if contact is Contact.RESPONSE:
            record.failures = 0
            if active:
                record.window = min(record.window + 1, self._pool.connections)
        elif contact is Contact.SILENCE:
            record.failures += 1
            record.responses = self.breaker.responses
            record.window = max(record.window - 1, self._settings.unproven)

    def hold(self, client: str, retry_after: float, now: float) -> float:
        """Send no more requests for this client, because the server asks for it; returns for how many seconds."""
        seconds = min(retry_after, self._settings.max_retry_after)
        self._record(client).held_until = now + seconds
        return seconds

    def wait(self, client: str, entry: T) -> None:
        """Put a lookup at the end of its client's line."""
        self._record(client).line.append(entry)
        self._waiting += 1

    def next(self, client: str, now: float) -> tuple[T, Admission] | None:
        """Remove the first lookup of a client's line whose wait is over, and return what to do with it."""
        record = self._record(client)
        if not record.line:
            return None
        over = record.line[0].deadline <= now or record.held_until > now or self._is_stopped(record)
        if not over and record.in_flight >= record.window:
            return None
        self._waiting -= 1
        return record.line.popleft(), Admission.REFUSE if over else Admission.SEND

    def _is_stopped(self, record: _Client[T]) -> bool:
        """Return whether no request of a client would get a response, as far as anybody can know."""
        unanswered = record.failures >= self._settings.failures and record.responses == self.breaker.responses
        return self.breaker.is_open or unanswered

    def _record(self, client: str) -> _Client[T]:
        record = self._clients.get(client)
        if record is not None:
            self._clients.move_to_end(client)
            return record
        if len(self._clients) >= self._settings.clients:
            self._drop_oldest()
        record = self._clients[client] = _Client(self._settings.unproven)
        return record

    def _drop_oldest(self) -> None:
        for _ in range(_CANDIDATES):
            client, record = self._clients.popitem(last=False)
            if not record.in_flight and not record.line:
                return
            self._clients[client] = record
