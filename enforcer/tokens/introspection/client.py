"""Asks an authorization server what a token is worth (RFC 7662).

1. The token goes to this server alone; a redirect is an error, and nothing is sent where it points.
2. A server that fails time after time is left alone for a while; who asks is told so at once.
3. What the server says of our own credentials is never taken for a judgement of the token.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.settings.pool import BreakerSettings
from enforcer.tokens.introspection.breaker import CircuitBreaker
from enforcer.tokens.introspection.client_authentication import Authentication, Credentials
from enforcer.tokens.introspection.endpoint import ServerEndpoint
from enforcer.tokens.introspection.endpoint_result import EndpointResult, credentials_refusal, error_code, response_body
from enforcer.tokens.introspection.response import INACTIVE, VerificationResult, parse
from enforcer.wire.http_client import HttpResponse
from enforcer.wire.ticker import Ticker

Done = Callable[[VerificationResult | IntrospectionError], None]

JSON_TYPE: Final = "application/json"
JWT_TYPE: Final = "application/token-introspection+jwt"
"""What an answer can be asked for as (RFC 7662 §2.2, RFC 9701 §4)."""


class ResponseReader(Protocol):
    """Makes of an answer's bytes what it says."""

    def read(self, data: bytes, done: Done) -> None:
        """Read it; `done` gets the answer, or the error, exactly once, now or later."""

    def close(self) -> None:
        """End what goes on in the background."""


class JsonReader:
    """A `ResponseReader` of JSON (RFC 7662 §2.2)."""

    def read(self, data: bytes, done: Done) -> None:
        """Read it at once."""
        try:
            answer: VerificationResult | IntrospectionError = parse(data)
        except IntrospectionError as error:
            answer = error.as_value()
        done(answer)

    def close(self) -> None:
        """End nothing."""


class IntrospectionClient:
    """Makes introspection calls to one server."""

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

    def introspect(self, token: bytes, done: Done) -> None:
        """Ask about a token, which is a b64token; `done` gets the answer, or the error, exactly once, now or later."""
        if not self._breaker.admits(self._ticker.next):
            done(IntrospectionError(IntrospectionFailure.CIRCUIT_OPEN, "it failed too often; left alone for a while"))
            return
        # RFC 6750 §2.1 leaves three characters that a form must encode
        value = token.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
        self._ask(b"token=%b&token_type_hint=access_token" % value, done, again=True)

    def close(self) -> None:
        """End what goes on in the background; running calls end by themselves."""
        self._endpoint.close()
        self._authentication.close()
        self._reader.close()

    def circuit_open(self) -> bool:
        """Tell whether the server failed too often, and is left alone for a while."""
        return self._breaker.is_open

    # Methods, not functions within a function: compiled, those hold each other, and the token with them.

    def _ask(self, form: bytes, done: Done, again: bool) -> None:
        self._authentication.authenticate(partial(self._authenticated, form, done, again))

    def _authenticated(
        self, form: bytes, done: Done, again: bool, credentials: Credentials | IntrospectionError
    ) -> None:
        if isinstance(credentials, IntrospectionError):
            self._breaker.released()
            done(credentials)
        else:
            self._endpoint.post(form, credentials, partial(self._ended, form, done, again, credentials))

    def _ended(self, form: bytes, done: Done, again: bool, credentials: Credentials, outcome: EndpointResult) -> None:
        # RFC 6750 §3.1: 401 is about the credentials themselves, 403 about what they allow
        unauthorized = isinstance(outcome, HttpResponse) and outcome.status == 401
        if unauthorized and self._authentication.rejected(credentials) and again:
            self._ask(form, done, again=False)
            return
        self._read(outcome, partial(self._told, outcome, done))

    def _told(self, outcome: EndpointResult, done: Done, result: VerificationResult | IntrospectionError) -> None:
        self._note(outcome, result)
        done(result)

    def _read(self, outcome: EndpointResult, done: Done) -> None:
        if (
            isinstance(outcome, HttpResponse)
            and outcome.status == 400
            and error_code(outcome) == "unsupported_token_type"
        ):
            done(INACTIVE)  # RFC 7009 §2.2.1 has the code, and some servers use it here for what they did not issue
            return
        # RFC 7662 §2.3: a refusal is about our own credentials, never a judgement of the token
        found = credentials_refusal(outcome) or response_body(outcome)
        if isinstance(found, IntrospectionError):
            done(found)
        else:
            self._reader.read(found, done)

    def _note(self, outcome: EndpointResult, result: VerificationResult | IntrospectionError) -> None:
        overloaded = isinstance(outcome, UpstreamError) and outcome.reason is UpstreamFailure.OVERLOADED
        forbidden = isinstance(outcome, HttpResponse) and outcome.status == 403
        if overloaded or forbidden or isinstance(outcome, IntrospectionError):
            # It was not asked; or something before it disliked this token, which must not cut off all others.
            self._breaker.released()
        elif isinstance(result, IntrospectionError) and result.reason is not IntrospectionFailure.MALFORMED:
            self._breaker.failed(self._ticker.next)
        else:
            # A server that answers is not in trouble: what it says of one token must not cut off all others.
            self._breaker.succeeded()
