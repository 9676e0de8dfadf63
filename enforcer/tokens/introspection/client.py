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
from enforcer.tokens.introspection.breaker import Breaker
from enforcer.tokens.introspection.client_authentication import Authentication, Credentials
from enforcer.tokens.introspection.endpoint import Outcome, ServerEndpoint, content, error_code, refusal
from enforcer.tokens.introspection.response import INACTIVE, Answer, parse
from enforcer.wire.http_client import Reply
from enforcer.wire.ticker import Ticker

Done = Callable[[Answer | IntrospectionError], None]

PLAIN: Final = "application/json"
SIGNED: Final = "application/token-introspection+jwt"
"""What an answer can be asked for as (RFC 7662 §2.2, RFC 9701 §4)."""


class Reader(Protocol):
    """Makes of an answer's bytes what it says."""

    def read(self, data: bytes, done: Done) -> None:
        """Read it; `done` gets the answer, or the error, exactly once, now or later."""

    def close(self) -> None:
        """End what goes on in the background."""


class Plain:
    """A `Reader` of JSON (RFC 7662 §2.2)."""

    def read(self, data: bytes, done: Done) -> None:
        """Read it at once."""
        try:
            answer: Answer | IntrospectionError = parse(data)
        except IntrospectionError as error:
            answer = error.as_value()
        done(answer)

    def close(self) -> None:
        """End nothing."""


class Introspector:
    """Makes introspection calls to one server."""

    def __init__(
        self,
        endpoint: ServerEndpoint,
        authentication: Authentication,
        reader: Reader,
        breaker: BreakerSettings,
        ticker: Ticker,
    ) -> None:
        self._endpoint = endpoint
        self._authentication = authentication
        self._reader = reader
        self._breaker = Breaker(breaker)
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

    def _ended(self, form: bytes, done: Done, again: bool, credentials: Credentials, outcome: Outcome) -> None:
        # RFC 6750 §3.1: 401 is about the credentials themselves, 403 about what they allow
        unauthorized = isinstance(outcome, Reply) and outcome.status == 401
        if unauthorized and self._authentication.rejected(credentials) and again:
            self._ask(form, done, again=False)
            return
        self._read(outcome, partial(self._told, outcome, done))

    def _told(self, outcome: Outcome, done: Done, result: Answer | IntrospectionError) -> None:
        self._note(outcome, result)
        done(result)

    def _read(self, outcome: Outcome, done: Done) -> None:
        if isinstance(outcome, Reply) and outcome.status == 400 and error_code(outcome) == "unsupported_token_type":
            done(INACTIVE)  # RFC 7009 §2.2.1 has the code, and some servers use it here for what they did not issue
            return
        # RFC 7662 §2.3: a refusal is about our own credentials, never a judgement of the token
        found = refusal(outcome) or content(outcome)
        if isinstance(found, IntrospectionError):
            done(found)
        else:
            self._reader.read(found, done)

    def _note(self, outcome: Outcome, result: Answer | IntrospectionError) -> None:
        overloaded = isinstance(outcome, UpstreamError) and outcome.reason is UpstreamFailure.OVERLOADED
        forbidden = isinstance(outcome, Reply) and outcome.status == 403
        if overloaded or forbidden or isinstance(outcome, IntrospectionError):
            # It was not asked; or something before it disliked this token, which must not cut off all others.
            self._breaker.released()
        elif isinstance(result, IntrospectionError) and result.reason is not IntrospectionFailure.MALFORMED:
            self._breaker.failed(self._ticker.next)
        else:
            # A server that answers is not in trouble: what it says of one token must not cut off all others.
            self._breaker.succeeded()
