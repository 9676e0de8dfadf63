"""The result of a request to an authorization server's endpoint, and how its status is read. Pure."""

from __future__ import annotations

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.tokens.strict_json import read_object
from enforcer.wire.http_client import HttpResponse

EndpointResult = HttpResponse | UpstreamError | IntrospectionError
"""An answer; or a failure on the way; or why nothing was sent at all."""

_FAILURES = {
    UpstreamFailure.TIMEOUT: IntrospectionFailure.TIMEOUT,
    UpstreamFailure.UNAVAILABLE: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.OVERLOADED: IntrospectionFailure.UNAVAILABLE,
    UpstreamFailure.MALFORMED: IntrospectionFailure.MALFORMED,
}
# RFC 6749 §5.2: those that are about us
_REFUSALS = ("invalid_client", "unauthorized_client", "invalid_scope")


def response_body(outcome: EndpointResult) -> bytes | IntrospectionError:
    """Return what came with status 200, or why nothing did."""
    if isinstance(outcome, IntrospectionError):
        return outcome
    if isinstance(outcome, UpstreamError):
        return IntrospectionError(_FAILURES[outcome.reason], outcome.detail)
    status = outcome.status
    if status == 200:
        return outcome.body
    unwell = status >= 500 or status == 429
    reason = IntrospectionFailure.UNAVAILABLE if unwell else IntrospectionFailure.MALFORMED
    return IntrospectionError(reason, f"it answered {status}")


def credentials_refusal(outcome: EndpointResult) -> IntrospectionError | None:
    """Return the error where the server refuses our credentials, or what we ask with them (RFC 6749 §5.2)."""
    if not isinstance(outcome, HttpResponse):
        return None
    code = error_code(outcome)
    if code in _REFUSALS:
        return IntrospectionError(IntrospectionFailure.REFUSED, f"it answered {outcome.status}, {code}")
    if outcome.status in (401, 403):
        return IntrospectionError(IntrospectionFailure.REFUSED, f"it answered {outcome.status} to our credentials")
    return None


def error_code(reply: HttpResponse) -> object:
    """Return the code of an error answer (RFC 6749 §5.2); None where it has none that can be read."""
    if reply.status not in (400, 401, 403):
        return None
    try:
        return read_object(reply.body).get("error")
    except ValueError:
        return None
