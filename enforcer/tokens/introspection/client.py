"""The introspection client of an authorization server (RFC 7662).

1. A token is sent to this server only. Redirects are not followed.
2. The circuit breaker stops requests to a server that fails repeatedly; tokens then get an error at once.
3. A response about our own credentials is an error, and never a statement about the token.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Protocol

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.settings.pool import BreakerSettings
from enforcer.tokens.introspection.breaker import CircuitBreaker
from enforcer.tokens.introspection.client_authentication import Authentication, Credentials
from enforcer.tokens.introspection.endpoint import ServerEndpoint
from enforcer.tokens.introspection.endpoint_result import EndpointResult, authenticated_body, error_code, read_body
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome, parse
from enforcer.wire.callback import Callback, Operation, chain, convert
from enforcer.wire.http_client import HttpResponse
from enforcer.wire.ticker import Ticker

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


class IntrospectionClient:
    """Sends introspection requests to one server."""

    def __init__(
        self,
        endpoint: ServerEndpoint,
        authentication: Authentication,
        reader: ResponseReader,
        breaker: BreakerSettings,
        ticker: Ticker,
    ) -> None:
        self._endpoint = endpoint
        self._authentication = authentication
        self._reader = reader
        self._breaker = CircuitBreaker(breaker)
        self._ticker = ticker

    def introspect(
        self, token: bytes, client: str, callback: Callback[IntrospectionOutcome]
    ) -> IntrospectionOutcome | None:
        """Send an introspection request for a token, which is a b64token."""
        if not self._breaker.allows(self._ticker.next):
            return IntrospectionError(IntrospectionFailure.CIRCUIT_OPEN, "it failed too often; left alone for a while")
        # RFC 6750 §2.1: a b64token has three characters that must be encoded in a form
        value = token.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
        return self._request(b"token=%b&token_type_hint=access_token" % value, client, True, callback)

    def close(self) -> None:
        """Stop background work; running requests continue."""
        self._endpoint.close()
        self._authentication.close()
        self._reader.close()

    def circuit_open(self) -> bool:
        """Return whether the circuit breaker stops requests."""
        return self._breaker.is_open

    def _request(
        self, form: bytes, client: str, retry: bool, callback: Callback[IntrospectionOutcome]
    ) -> IntrospectionOutcome | None:
        return chain(self._authentication.authenticate, self._post, callback, form, client, retry)

    def _post(
        self,
        form: bytes,
        client: str,
        retry: bool,
        credentials: Credentials | IntrospectionError,
        callback: Callback[IntrospectionOutcome],
    ) -> IntrospectionOutcome | None:
        if isinstance(credentials, IntrospectionError):
            self._breaker.release()
            return credentials
        post: Operation[EndpointResult] = partial(self._endpoint.post, form, credentials, client)
        return chain(post, self._on_response, callback, form, client, retry, credentials)

    def _on_response(
        self,
        form: bytes,
        client: str,
        retry: bool,
        credentials: Credentials,
        response: EndpointResult,
        callback: Callback[IntrospectionOutcome],
    ) -> IntrospectionOutcome | None:
        # RFC 6750 §3.1: 401 is about the credentials themselves, 403 about what they allow
        unauthorized = isinstance(response, HttpResponse) and response.status == 401
        if unauthorized and self._authentication.on_rejected(credentials) and retry:
            return self._request(form, client, False, callback)
        read: Operation[IntrospectionOutcome] = partial(self._read, response)
        return convert(read, self._record_outcome, callback, response)

    def _read(self, response: EndpointResult, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        rejected = isinstance(response, HttpResponse) and response.status == 400 and error_code(response)
        if rejected == "unsupported_token_type":
            # The code is from RFC 7009 §2.2.1; some servers use it here for tokens that they did not issue.
            return INACTIVE
        # RFC 7662 §2.3: a refusal is about our own credentials, never about the token
        body = authenticated_body(response)
        return body if isinstance(body, IntrospectionError) else self._reader.read(body, callback)

    def _record_outcome(self, response: EndpointResult, outcome: IntrospectionOutcome) -> IntrospectionOutcome:
        """Report the outcome to the circuit breaker, and return it."""
        overloaded = isinstance(response, UpstreamError) and response.reason is UpstreamFailure.OVERLOADED
        status = response.status if isinstance(response, HttpResponse) else 0
        if overloaded or status == 403 or isinstance(response, IntrospectionError):
            # No request was sent; or a firewall in front of the server rejected this token, which must not stop others.
            self._breaker.release()
        elif isinstance(outcome, IntrospectionError) and (
            outcome.reason in _FAILING if status < 500 else status in _OUT_OF_SERVICE
        ):
            self._breaker.record_failure(self._ticker.next)
        else:
            # A server that responds is not failing: its response to one token must not stop requests for others. That
            # is also true of a 500, which any client could cause if it found a token that the server fails on.
            self._breaker.record_success()
        return outcome
