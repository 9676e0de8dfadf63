"""Responses of an authorization server: body or error, by status and error code."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.tokens.introspection.breaker import Contact
from enforcer.tokens.introspection.endpoint_result import (
    EndpointResult,
    authenticated_body,
    contact,
    error_code,
    read_body,
    response_body,
)
from enforcer.wire.http_client import HttpResponse

MALFORMED, REFUSED, UNAVAILABLE = (
    IntrospectionFailure.MALFORMED,
    IntrospectionFailure.REFUSED,
    IntrospectionFailure.UNAVAILABLE,
)


def reason(result: bytes | IntrospectionError) -> IntrospectionFailure:
    assert isinstance(result, IntrospectionError)
    return result.reason


def test_only_200_has_a_body() -> None:
    """Whether or not the request had credentials."""
    response = HttpResponse(200, b"body")
    assert response_body(response) == authenticated_body(response) == b"body"


@pytest.mark.parametrize(
    ("status", "expected"),
    [(201, MALFORMED), (204, MALFORMED), (302, MALFORMED), (404, MALFORMED), (429, UNAVAILABLE), (500, UNAVAILABLE)],
)
def test_another_status_is_an_error_that_names_it(status: int, expected: IntrospectionFailure) -> None:
    """Only 429 and 5xx say that the server may answer later; an error never shows the body."""
    for read in (response_body, authenticated_body):
        result = read(HttpResponse(status, b"s3cret"))
        assert reason(result) is expected
        assert str(status) in str(result)
        assert "s3cret" not in str(result)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (UpstreamFailure.TIMEOUT, IntrospectionFailure.TIMEOUT),
        (UpstreamFailure.UNAVAILABLE, UNAVAILABLE),
        (UpstreamFailure.OVERLOADED, UNAVAILABLE),
        (UpstreamFailure.MALFORMED, MALFORMED),
    ],
)
def test_a_failed_connection_keeps_its_reason_and_detail(
    failure: UpstreamFailure, expected: IntrospectionFailure
) -> None:
    """In the terms of introspection."""
    for read in (response_body, authenticated_body):
        result = read(UpstreamError(failure, "detail"))
        assert reason(result) is expected
        assert "detail" in str(result)


def test_an_error_that_prevented_the_request_is_returned_as_it_is() -> None:
    """For example if there are no credentials."""
    error = IntrospectionError(UNAVAILABLE, "no credentials")
    assert response_body(error) is authenticated_body(error) is error


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "invalid_request"}', b'{"error": "invalid_client"}'])
def test_401_and_403_refuse_our_credentials(status: int, body: bytes) -> None:
    """Their body does not matter; without credentials they are responses like any other."""
    assert reason(authenticated_body(HttpResponse(status, body))) is REFUSED
    assert reason(response_body(HttpResponse(status, body))) is MALFORMED


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("invalid_client", REFUSED),
        ("unauthorized_client", REFUSED),
        ("invalid_scope", REFUSED),
        ("invalid_request", MALFORMED),
        ("unsupported_token_type", MALFORMED),
    ],
)
def test_400_refuses_our_credentials_only_with_certain_codes(code: str, expected: IntrospectionFailure) -> None:
    """RFC 6749 §5.2."""
    result = authenticated_body(HttpResponse(400, b'{"error": "%b"}' % code.encode()))
    assert reason(result) is expected
    assert (code in str(result)) is (expected is REFUSED)


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (HttpResponse(400, b'{"error": "invalid_scope"}'), "invalid_scope"),
        (HttpResponse(401, b'{"error": "invalid_client"}'), "invalid_client"),
        (HttpResponse(403, b'{"error": 1}'), 1),
        (HttpResponse(400, b"{}"), None),
        (HttpResponse(400, b"<html>"), None),
        (HttpResponse(400, b'{"error": "a", "error": "b"}'), None),
        (HttpResponse(500, b'{"error": "invalid_scope"}'), "invalid_scope"),
        (HttpResponse(302, b'{"error": "invalid_scope"}'), None),
        (HttpResponse(200, b'{"error": "invalid_scope"}'), None),
    ],
)
def test_an_error_code_is_read_only_from_an_error(response: HttpResponse, code: object) -> None:
    """RFC 6749 §5.2; any body that cannot be read has no code."""
    assert error_code(response) == code


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (HttpResponse(200, b""), Contact.RESPONSE),
        (HttpResponse(500, b""), Contact.RESPONSE),
        (UpstreamError(UpstreamFailure.MALFORMED, "not HTTP"), Contact.RESPONSE),
        (UpstreamError(UpstreamFailure.TIMEOUT, "no response"), Contact.SILENCE),
        (UpstreamError(UpstreamFailure.UNAVAILABLE, "reset"), Contact.SILENCE),
        (UpstreamError(UpstreamFailure.TIMEOUT, "no connection", connected=False), Contact.NO_CONNECTION),
        (UpstreamError(UpstreamFailure.UNAVAILABLE, "refused", connected=False), Contact.NO_CONNECTION),
        (UpstreamError(UpstreamFailure.OVERLOADED, "our queue is full"), Contact.NOT_SENT),
        (IntrospectionError(UNAVAILABLE, "no access token of our own"), Contact.NOT_SENT),
    ],
)
def test_a_result_shows_whether_the_server_responds(result: EndpointResult, shown: Contact) -> None:
    """A response that cannot be read is a response too: nobody waited for it."""
    assert contact(result) is shown


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7.0),
        (b" 0 ", 0.0),
        (b"9" * 100, 999999999.0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"", None),
        (b"-1", None),
        (b"1.5", None),
        (b"soon", None),
        (b"\xb2", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_in_both_forms(status: int, value: bytes, seconds: float | None) -> None:
    """RFC 9110 §10.2.3. A value that cannot be read counts as none."""
    error = response_body(HttpResponse(status, b"", (b"Retry-After", b": ", value, b"\r\n")))
    assert isinstance(error, IntrospectionError)
    assert error.retry_after == seconds


def test_a_date_in_retry_after_becomes_seconds_from_now() -> None:
    """By our own clock."""
    date = formatdate(time.time() + 60, usegmt=True).encode()
    error = response_body(HttpResponse(503, b"", (b"Retry-After", b": ", date, b"\r\n")))
    assert isinstance(error, IntrospectionError)
    assert error.retry_after == pytest.approx(60, abs=10)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_retry_after_of_another_status_asks_for_nothing(status: int) -> None:
    """RFC 9110 §10.2.3 gives it a meaning only beside 429, 503 and redirects."""
    result = response_body(HttpResponse(status, b"", (b"Retry-After", b": ", b"7", b"\r\n")))
    assert not isinstance(result, IntrospectionError) or result.retry_after is None


def test_an_encoded_response_is_named() -> None:
    """The request accepts only identity, so nothing here decodes another coding."""
    for coding in (b"gzip", b" GZip"):
        result = response_body(HttpResponse(200, b"\x1f\x8b", (b"Content-Encoding", b": ", coding, b"\r\n")))
        assert reason(result) is MALFORMED
        assert "encoded (gzip)" in str(result)
    assert response_body(HttpResponse(200, b"{}", (b"content-encoding", b": ", b"identity", b"\r\n"))) == b"{}"


def test_a_body_that_cannot_be_read_is_an_error_whatever_was_raised(caplog: pytest.LogCaptureFixture) -> None:
    """An exception would leave the requests that wait for the body without a response."""

    def fail(body: bytes) -> bytes:
        raise TypeError("unhashable type")

    outcome = read_body(b"{}", fail)
    assert reason(outcome) is MALFORMED
    assert "internal error" in caplog.text
    assert read_body(b"{}", bytes.upper) == b"{}"
