"""The introspection client of an authorization server (RFC 7662).

1. A token is sent to this server only. Redirects are not followed.
2. A server that does not respond is no longer asked; tokens then get an error at once.
3. A response about our own credentials is an error, and never a statement about the token. An error about the token is
   a statement that it is not active.
"""

from __future__ import annotations

import logging
import secrets
from functools import partial
from typing import Final, NamedTuple, Protocol

from enforcer.clients import OWN
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.settings.pool import BreakerSettings, PoolSettings
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.admission import Admission, LookupAdmission
from enforcer.tokens.introspection.breaker import Contact
from enforcer.tokens.introspection.client_authentication import Authentication, Credentials
from enforcer.tokens.introspection.endpoint import ServerEndpoint
from enforcer.tokens.introspection.endpoint_result import (
    EndpointResult,
    authenticated_body,
    contact,
    is_about_token,
    read_body,
)
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome, parse
from enforcer.tokens.lookup import Lookup
from enforcer.wire.callback import Callback, Operation, chain, convert
from enforcer.wire.http_client import HttpResponse
from enforcer.wire.ticker import Ticker

_log: Final = logging.getLogger("enforcer.tokens")

JSON_TYPE: Final = "application/json"
JWT_TYPE: Final = "application/token-introspection+jwt"
"""The media types of introspection responses (RFC 7662 §2.2, RFC 9701 §4)."""


_OUT_OF_SERVICE: Final = (502, 503, 504)
_FAILING: Final = (IntrospectionFailure.UNAVAILABLE, IntrospectionFailure.TIMEOUT, IntrospectionFailure.REFUSED)


class ResponseReader(Protocol):
    """Reads the body of an introspection response."""

    def read(self, body: bytes, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        """Read a body of status 200."""

    def close(self) -> None:
        """Stop background work."""


class JsonReader:
    """A `ResponseReader` for JSON (RFC 7662 §2.2)."""

    def read(self, body: bytes, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        """Read a body; the outcome is always known at once."""
        return read_body(body, parse)

    def close(self) -> None:
        """Do nothing: there is no background work."""


class _Result(NamedTuple):
    """The outcome of a request, and what it shows of the server."""

    contact: Contact
    outcome: IntrospectionOutcome


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
        self,
        name: str,
        endpoint: ServerEndpoint,
        authentication: Authentication,
        reader: ResponseReader,
        breaker: BreakerSettings,
        pool: PoolSettings,
        ticker: Ticker,
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._authentication = authentication
        self._reader = reader
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
        self._endpoint.close()
        self._authentication.close()
        self._reader.close()

    def circuit_open(self) -> bool:
        """Return whether the circuit breaker stops requests."""
        return self._breaker.is_open

    def _send(self, lookup: Lookup, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        responses = self._admission.begin(lookup.client)
        on_result = partial(self._on_result, lookup, responses, callback)
        try:
            result = self._request(_form(lookup.token), lookup.client, None, on_result)
        except BaseException:
            self._admission.end(lookup, Contact.NOT_SENT, responses, self._ticker.next, active=False)
            raise
        return None if result is None else self._end(lookup, responses, result)

    def _on_result(
        self, lookup: Lookup, responses: int, callback: Callback[IntrospectionOutcome], result: _Result
    ) -> None:
        callback(self._end(lookup, responses, result))

    def _end(self, lookup: Lookup, responses: int, result: _Result) -> IntrospectionOutcome:
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
            result = self._request(_form(token), OWN, None, partial(self._on_probe, responses))
            if result is not None:
                self._on_probe(responses, result)
        if not breaker.needs_probes and self._probing:
            self._probing = False
            self._ticker.remove(self._probe)

    def _on_probe(self, responses: int, result: _Result) -> None:
        was_open = self._breaker.is_open
        self._breaker.record_probe(result.contact, responses, self._ticker.next)
        self._after_contact(was_open, result.outcome)

    # One request. `rejected` are the credentials that the server rejected before.

    def _request(
        self, form: bytes, client: str, rejected: Credentials | None, callback: Callback[_Result]
    ) -> _Result | None:
        if rejected is None:
            return chain(self._authentication.authenticate, self._post, callback, form, client, rejected)
        renew: Operation[Credentials | IntrospectionError] = partial(self._authentication.renew, rejected)
        return chain(renew, self._post, callback, form, client, rejected)

    def _post(
        self,
        form: bytes,
        client: str,
        rejected: Credentials | None,
        credentials: Credentials | IntrospectionError,
        callback: Callback[_Result],
    ) -> _Result | None:
        if isinstance(credentials, IntrospectionError):
            return _Result(Contact.NOT_SENT, credentials)
        if credentials is rejected:
            # There are no others. The server may have meant the token, which it does not know.
            return _Result(Contact.RESPONSE, _REJECTED)
        post: Operation[EndpointResult] = partial(self._endpoint.post, form, credentials, client)
        return chain(post, self._on_response, callback, form, client, rejected, credentials)

    def _on_response(
        self,
        form: bytes,
        client: str,
        rejected: Credentials | None,
        credentials: Credentials,
        response: EndpointResult,
        callback: Callback[_Result],
    ) -> _Result | None:
        # RFC 6750 §3.1: 401 is about the credentials themselves, 403 about what they allow
        if isinstance(response, HttpResponse) and response.status == 401 and self._authentication.renewable:
            if rejected is None:
                return self._request(form, client, credentials, callback)
            return _Result(Contact.RESPONSE, _REJECTED)
        read: Operation[IntrospectionOutcome] = partial(self._read, response)
        return convert(read, _Result, callback, contact(response))

    def _read(self, response: EndpointResult, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        if is_about_token(response):
            return INACTIVE
        # RFC 7662 §2.3: a refusal is about our own credentials, never about the token
        body = authenticated_body(response)
        return body if isinstance(body, IntrospectionError) else self._reader.read(body, callback)


def _form(token: bytes) -> bytes:
    # RFC 6750 §2.1: a b64token has three characters that must be encoded in a form
    value = token.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
    return b"token=%b&token_type_hint=access_token" % value


def _held(seconds: float) -> IntrospectionError:
    detail = "it asked to be left alone for a while (Retry-After)"
    return IntrospectionError(IntrospectionFailure.CIRCUIT_OPEN, detail, seconds)


def _ignore(outcome: IntrospectionOutcome) -> None:
    """Take the outcome of a request for which nobody waits."""


_STOPPED: Final = IntrospectionError(IntrospectionFailure.CIRCUIT_OPEN, "it does not respond; not asked for a while")
_REJECTED: Final = IntrospectionError(IntrospectionFailure.REFUSED, "it answered 401 to our credentials")
