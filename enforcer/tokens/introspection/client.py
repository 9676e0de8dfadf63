"""The introspection client of an authorization server (RFC 7662).

1. A token is sent to this server only. Redirects are not followed.
2. A server that does not respond is no longer asked; tokens then get an error at once.
"""

from __future__ import annotations

import logging
import secrets
from functools import partial
from typing import Final

from enforcer.clients import OWN
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.connections.pool import BreakerSettings, PoolSettings
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.admission import Admission, LookupAdmission
from enforcer.tokens.introspection.breaker import Contact
from enforcer.tokens.introspection.introspector import IntrospectionResult, Introspector
from enforcer.tokens.introspection.response import IntrospectionOutcome
from enforcer.tokens.lookup import Lookup
from enforcer.wire.callback import Callback
from enforcer.wire.ticker import Ticker

_log: Final = logging.getLogger("enforcer.tokens")


class _Waiting:
    """A lookup that waits for earlier ones of its client."""

    __slots__ = ("callback", "deadline", "lookup")

    def __init__(self, lookup: Lookup, callback: Callback[IntrospectionOutcome], deadline: float) -> None:
        self.lookup = lookup
        self.callback = callback
        self.deadline = deadline


class IntrospectionClient:
    """Sends introspection requests to the server `name`."""

    def __init__(
        self, name: str, introspector: Introspector, breaker: BreakerSettings, pool: PoolSettings, ticker: Ticker
    ) -> None:
        self._name = name
        self._introspector = introspector
        self._pool = pool
        self._ticker = ticker
        self._admission: LookupAdmission[_Waiting] = LookupAdmission(breaker, pool)
        self._breaker = self._admission.breaker
        self._serving: set[str] = set()
        self._probing = self._closed = False

    def introspect(self, lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        """Send an introspection request for a token, which is a b64token."""
        now = self._ticker.next
        held = self._admission.held(lookup.client, now)
        if held:
            return _held(held)
        admission = self._admission.admit(lookup, now)
        if admission is Admission.SEND:
            return self._send(lookup, callback)
        if admission is Admission.WAIT:
            self._admission.wait(lookup.client, _Waiting(lookup, callback, now + self._pool.queue_timeout))
            return None
        if admission is Admission.TRY:
            self._send(lookup, _ignore)
        return _STOPPED

    def close(self) -> None:
        """Stop background work; running requests continue."""
        self._closed = True
        if self._probing:
            self._probing = False
            self._ticker.remove(self._probe)
        self._introspector.close()

    def circuit_open(self) -> bool:
        """Return whether the circuit breaker stops requests."""
        return self._breaker.is_open

    def _send(self, lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        responses = self._admission.begin(lookup.client)
        on_result = partial(self._on_result, lookup, responses, callback)
        try:
            result = self._introspector.send(lookup.token, lookup.client, on_result)
        except BaseException:
            self._admission.end(lookup, Contact.NOT_SENT, responses, self._ticker.next, active=False)
            raise
        return None if result is None else self._end(lookup, responses, result)

    def _on_result(
        self, lookup: Lookup, responses: int, callback: Callback[IntrospectionOutcome], result: IntrospectionResult
    ) -> None:
        callback(self._end(lookup, responses, result))

    def _end(self, lookup: Lookup, responses: int, result: IntrospectionResult) -> IntrospectionOutcome:
        """Record the end of a request, and return the outcome."""
        outcome = result.outcome
        was_open, now = self._breaker.is_open, self._ticker.next
        self._admission.end(lookup, result.contact, responses, now, active=isinstance(outcome, ActiveToken))
        if isinstance(outcome, IntrospectionError) and outcome.retry_after is not None:
            seconds = self._admission.hold(lookup.client, outcome.retry_after, now)
            outcome = IntrospectionError(outcome.reason, outcome.detail, seconds)
        self._after_contact(was_open, outcome)
        self._serve(lookup.client)
        return outcome

    def _serve(self, client: str) -> None:
        """Send, or refuse, the lookups of a client whose wait is over."""
        if client in self._serving:
            return  # a request that ended at once: the loop that began it goes on
        self._serving.add(client)
        try:
            while (entry := self._admission.next(client, self._ticker.next)) is not None:
                waiting, admission = entry
                outcome = self._send(waiting.lookup, waiting.callback) if admission is Admission.SEND else _STOPPED
                if outcome is not None:
                    waiting.callback(outcome)
        finally:
            self._serving.discard(client)

    # Probes

    def _after_contact(self, was_open: bool, outcome: IntrospectionOutcome) -> None:
        """Log a change of the circuit breaker, and send a probe if the server may be in trouble."""
        breaker = self._breaker
        if breaker.is_open and not was_open:
            _log.error("authorization server %s does not respond: %s; see enforcer doctor", self._name, outcome)
        elif was_open and not breaker.is_open:
            _log.info("authorization server %s responds again", self._name)
        if breaker.needs_probes and not self._probing and not self._closed:
            self._probing = True
            self._ticker.add(self._probe)
            self._probe(self._ticker.next)

    def _probe(self, now: float) -> None:
        breaker = self._breaker
        if breaker.take_probe(now):
            responses = breaker.responses
            token = secrets.token_urlsafe(32).encode()
            result = self._introspector.send(token, OWN, partial(self._on_probe, responses))
            if result is not None:
                self._on_probe(responses, result)
        if not breaker.needs_probes and self._probing:
            self._probing = False
            self._ticker.remove(self._probe)

    def _on_probe(self, responses: int, result: IntrospectionResult) -> None:
        was_open = self._breaker.is_open
        self._breaker.record_probe(result.contact, responses, self._ticker.next)
        self._after_contact(was_open, result.outcome)


def _held(seconds: float) -> IntrospectionError:
    detail = "it asked to be left alone for a while (Retry-After)"
    return IntrospectionError(IntrospectionFailure.CIRCUIT_OPEN, detail, seconds)


def _ignore(outcome: IntrospectionOutcome) -> None:
    """Take the outcome of a request for which nobody waits."""


_STOPPED: Final = IntrospectionError(IntrospectionFailure.CIRCUIT_OPEN, "it does not respond; not asked for a while")
