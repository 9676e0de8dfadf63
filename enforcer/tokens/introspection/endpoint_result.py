"""Results of requests to an authorization server's endpoints, and what their status means."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.tokens.documents.strict_json import read_object
from enforcer.tokens.introspection.breaker import Contact
from enforcer.wire.fields import OWS
from enforcer.wire.http_client import HttpResponse

T = TypeVar("T")

_log = logging.getLogger("enforcer.tokens")

SendFailure = UpstreamError | IntrospectionError
"""A failure of the connection; or why no request could be made at all."""
EndpointResult = HttpResponse | SendFailure

_FAILURES = {
    UpstreamFailure.TIMEOUT: IntrospectionFailure.TIMEOUT,
    UpstreamFailure.UNAVAILABLE: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.OVERLOADED: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.STREAMS: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.MALFORMED: IntrospectionFailure.MALFORMED,
}
# RFC 6749 §5.2: the error codes that are about our credentials
_REFUSALS = ("invalid_client", "unauthorized_client", "invalid_scope")
# The registered codes that are about a token (RFC 6750 §3.1, RFC 7009 §2.2.1, RFC 6749 §5.2, RFC 8628 §3.5). RFC 7662
# has no error for a token that is not active, but many servers respond with one.
_ABOUT_TOKENS = ("invalid_token", "unsupported_token_type", "invalid_grant", "expired_token")
_WITH_RETRY_AFTER = (429, 503)
"""The statuses whose Retry-After asks to be left alone (RFC 6585 §4, RFC 9110 §15.6.4)."""
_MAX_DIGITS = 9  # of Retry-After
_MAX_CODING = 64  # characters of a coding's name in an error text


def response_body(result: EndpointResult) -> bytes | IntrospectionError:
    """Return the body of a response with status 200, or the error."""
    if isinstance(result, HttpResponse):
        status = result.status
        if status == 200:
            coding = content_coding(result)
            if not coding:
                return result.body
            detail = f"its response is encoded ({coding}), although the request accepts only identity"
            return IntrospectionError(IntrospectionFailure.MALFORMED, detail)
        unavailable = status >= 500 or status == 429
        reason = IntrospectionFailure.UNAVAILABLE if unavailable else IntrospectionFailure.MALFORMED
        retry_after = _seconds(result.field(b"retry-after")) if status in _WITH_RETRY_AFTER else None
        return IntrospectionError(reason, f"it answered {status}", retry_after)
    if isinstance(result, UpstreamError):
        return IntrospectionError(_FAILURES[result.reason], result.detail)
    return result


def authenticated_body(result: EndpointResult) -> bytes | IntrospectionError:
    """Return the body of a response with status 200 to a request with our credentials, or the error.

    A refusal of the credentials, or of what they allow us (RFC 6749 §5.2), is an error of its own.
    """
    if isinstance(result, HttpResponse) and result.status in (400, 401, 403):
        code = error_code(result)
        if code in _REFUSALS:
            return IntrospectionError(IntrospectionFailure.REFUSED, f"it answered {result.status}, {code}")
        if result.status != 400:
            return IntrospectionError(IntrospectionFailure.REFUSED, f"it answered {result.status} to our credentials")
    return response_body(result)


def read_body(body: bytes | IntrospectionError, parse: Callable[[bytes], T]) -> T | IntrospectionError:
    """Return the body as `parse` reads it, or the error that it raises; any other exception is an error too."""
    if isinstance(body, IntrospectionError):
        return body
    try:
        return parse(body)
    except IntrospectionError as error:
        return error.as_value()
    except Exception:  # noqa: BLE001 - after any error, no request must wait forever
        _log.exception("internal error")
        return IntrospectionError(IntrospectionFailure.MALFORMED, "it cannot be read")


def error_code(response: HttpResponse) -> object:
    """Return the code of an error response (RFC 6749 §5.2), or None if there is no readable one."""
    if response.status < 400:
        return None
    try:
        return read_object(response.body).get("error")
    except ValueError:
        return None


def is_about_token(result: EndpointResult) -> bool:
    """Return whether a response is an error about the token that was sent for introspection, whatever its status."""
    return isinstance(result, HttpResponse) and error_code(result) in _ABOUT_TOKENS


def contact(result: EndpointResult) -> Contact:
    """Return what a result shows of the server."""
    if isinstance(result, IntrospectionError):
        return Contact.NOT_SENT
    if isinstance(result, HttpResponse) or result.reason is UpstreamFailure.MALFORMED:
        return Contact.RESPONSE
    if result.reason is UpstreamFailure.OVERLOADED:
        return Contact.NOT_SENT
    return Contact.SILENCE if result.connected else Contact.NO_CONNECTION


def content_coding(response: HttpResponse) -> str:
    """Return the coding of a response's content (RFC 9110 §8.4); empty if it has none."""
    coding = response.field(b"content-encoding").strip(OWS).decode("latin-1").lower()
    return "" if coding == "identity" else coding[:_MAX_CODING]


def _seconds(value: bytes) -> float | None:
    """Return the seconds of a Retry-After field (RFC 9110 §10.2.3), or None if it is absent or cannot be read."""
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:_MAX_DIGITS])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    return max(date.timestamp() - time.time(), 0.0)
