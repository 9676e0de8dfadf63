"""Asks an authorization server what a token is worth (RFC 7662).

1. The token goes to this server alone; a redirect is an error, and nothing is sent where it points.
2. A server that fails time after time is left alone for a while; who asks is told so at once.
3. What the server says of our own credentials is never taken for a judgement of the token.
"""

from __future__ import annotations

from collections.abc import Callable

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.tokens.answer import INACTIVE, Answer, parse
from enforcer.tokens.breaker import Breaker, BreakerSettings
from enforcer.tokens.client_authentication import Authentication
from enforcer.tokens.objects import read_object
from enforcer.wire.call import Caller, Reply

Done = Callable[[Answer | IntrospectionError], None]

FAILURES = {
    UpstreamFailure.TIMEOUT: IntrospectionFailure.TIMEOUT,
    UpstreamFailure.UNAVAILABLE: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.OVERLOADED: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.MALFORMED: IntrospectionFailure.MALFORMED,
}
"""What a call that failed says of the authorization server."""


class Introspector:
    """Makes introspection calls to one server. `authority` is its Host, `path` the endpoint's path and query."""

    def __init__(
        self, caller: Caller, authority: str, path: str, authentication: Authentication, breaker: BreakerSettings
    ) -> None:
        self._caller = caller
        self._authentication = authentication
        self._breaker = Breaker(breaker)
        self._head = (
            f"POST {path} HTTP/1.1\r\n"
            f"Host: {authority}\r\n"
            "Accept: application/json\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
        ).encode()

    def introspect(self, token: bytes, done: Done) -> None:
        """Ask about a token, which is a b64token; `done` gets the answer, or the error, exactly once, now or later."""
        credentials = self._authentication.credentials()
        if credentials is None:
            done(IntrospectionError(IntrospectionFailure.UNAVAILABLE, "there is no access token of our own yet"))
            return
        ticker = self._caller.pool.ticker
        if not self._breaker.admits(ticker.next):
            done(IntrospectionError(IntrospectionFailure.CIRCUIT_OPEN, "it failed too often; left alone for a while"))
            return
        # RFC 6750 §2.1 leaves three characters that a form must encode
        value = token.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
        body = b"token=%b&token_type_hint=access_token%b" % (value, credentials.form)
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, credentials.lines, len(body), body)

        def ended(outcome: Reply | UpstreamError) -> None:
            result = _read(outcome)
            if isinstance(outcome, UpstreamError) and outcome.reason is UpstreamFailure.OVERLOADED:
                self._breaker.released()  # our queue was full, which says nothing of the server
                done(result)
                return
            if isinstance(result, IntrospectionError) and result.reason is not IntrospectionFailure.MALFORMED:
                self._breaker.failed(ticker.next)
            else:
                # A server that answers is not in trouble: what it says of one token must not cut off all others.
                self._breaker.succeeded()
            done(result)

        self._caller.call(request, ended)

    def close(self) -> None:
        """Keep no connection for later; running calls end by themselves."""
        self._caller.close()

    def circuit_open(self) -> bool:
        """Tell whether the server failed too often, and is left alone for a while."""
        return self._breaker.is_open


def _error_code(body: bytes) -> object:
    """Return the error code of an answer (RFC 6749 §5.2), None where it cannot be read."""
    try:
        return read_object(body).get("error")
    except ValueError:
        return None


def _read(outcome: Reply | UpstreamError) -> Answer | IntrospectionError:
    if isinstance(outcome, UpstreamError):
        return IntrospectionError(FAILURES[outcome.reason], outcome.detail)
    status = outcome.status
    if status == 200:
        try:
            return parse(outcome.body)
        except IntrospectionError as error:
            return error
    code = _error_code(outcome.body) if status == 400 else None
    if code == "unsupported_token_type":
        return INACTIVE  # RFC 7009 §2.2.1 has the code, and some servers use it here for what they did not issue
    if status in (401, 403) or code in ("invalid_client", "unauthorized_client"):
        # RFC 7662 §2.3: our own credentials, never a judgement of the token
        return IntrospectionError(IntrospectionFailure.REFUSED, f"it answered {status} to our credentials")
    if status >= 500 or status == 429:
        return IntrospectionError(IntrospectionFailure.UNAVAILABLE, f"it answered {status}")
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"it answered {status}")
