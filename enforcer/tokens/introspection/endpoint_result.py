"""Results of requests to an authorization server's endpoints, and what their status means."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.tokens.strict_json import read_object
from enforcer.wire.http_client import HttpResponse

T = TypeVar("T")

SendFailure = UpstreamError | IntrospectionError
"""A failure of the connection; or why no request could be made at all."""
EndpointResult = HttpResponse | SendFailure

_FAILURES = {
    UpstreamFailure.TIMEOUT: IntrospectionFailure.TIMEOUT,
    UpstreamFailure.UNAVAILABLE: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.OVERLOADED: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.MALFORMED: IntrospectionFailure.MALFORMED,
}
# RFC 6749 §5.2: the error codes that are about our credentials
_REFUSALS = ("invalid_client", "unauthorized_client", "invalid_scope")


def response_body(result: EndpointResult) -> bytes | IntrospectionError:
    """Return the body of a response with status 200, or the error."""
    if isinstance(result, HttpResponse):
        status = result.status
        if status == 200:
            return result.body
        unavailable = status >= 500 or status == 429
        reason = IntrospectionFailure.UNAVAILABLE if unavailable else IntrospectionFailure.MALFORMED
        return IntrospectionError(reason, f"it answered {status}")
    if isinstance(result, UpstreamError):
        return IntrospectionError(_FAILURES[result.reason], result.detail)
    return result


def authenticated_body(result: EndpointResult) -> bytes | IntrospectionError:
    """Return the body of a response with status 200 to a request with our credentials, or the error.

    A refusal of the credentials, or of what they allow us (RFC 6749 §5.2), is an error of its own.
    """
    if isinstance(result, HttpResponse) and result.status == 200:
        return result.body
    if isinstance(result, HttpResponse) and result.status in (400, 401, 403):
        code = error_code(result)
        if code in _REFUSALS:
            return IntrospectionError(IntrospectionFailure.REFUSED, f"it answered {result.status}, {code}")
        if result.status != 400:
            return IntrospectionError(IntrospectionFailure.REFUSED, f"it answered {result.status} to our credentials")
    return response_body(result)


def read_body(body: bytes | IntrospectionError, parse: Callable[[bytes], T]) -> T | IntrospectionError:
    """Return the body as `parse` reads it, or the error that it raises."""
    if isinstance(body, IntrospectionError):
        return body
    try:
        return parse(body)
    except IntrospectionError as error:
        return error.as_value()


def error_code(response: HttpResponse) -> object:
    """Return the code of an error response (RFC 6749 §5.2), or None if there is no readable one."""
    if response.status not in (400, 401, 403):
        return None
    try:
        return read_object(response.body).get("error")
    except ValueError:
        return None
