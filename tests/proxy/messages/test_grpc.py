"""Refusals of gRPC calls: the status that a client sees, whatever HTTP says."""

from __future__ import annotations

import pytest

from enforcer.proxy.messages import responses
from enforcer.proxy.messages.grpc import content_type_of_call, status_fields
from enforcer.proxy.messages.responses import Refusal

DATE = b"Date: now\r\n"


def lines(content_type: bytes, name: bytes = b"Content-Type") -> list[bytes]:
    return [b"Accept", b": ", b"*/*", b"\r\n", name, b": ", content_type, b"\r\n"]


@pytest.mark.parametrize(
    ("content_type", "of_response"),
    [
        (b"application/grpc", b"application/grpc"),
        (b"application/grpc+proto", b"application/grpc"),
        (b"Application/GRPC+json; charset=utf-8", b"application/grpc"),
        (b"application/grpc-web", b"application/grpc-web"),
        (b"application/grpc-web-text+proto", b"application/grpc-web"),
        (b"application/grpcx", b""),
        (b"application/json", b""),
        (b"", b""),
    ],
)
def test_a_call_is_known_by_its_content_type(content_type: bytes, of_response: bytes) -> None:
    """As gRPC's protocol over HTTP/2 says; gRPC-Web has types of its own."""
    assert content_type_of_call(lines(content_type)) == of_response
    assert content_type_of_call(lines(content_type, b"content-type")) == of_response


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 13),
        (401, 16),
        (403, 7),
        (408, 2),
        (413, 8),
        (429, 14),
        (431, 8),
        (500, 13),
        (502, 14),
        (503, 14),
        (504, 14),
    ],
)
def test_the_status_follows_the_mapping_of_the_protocol(status: int, code: int) -> None:
    """Other statuses are UNKNOWN; a limit that the call exceeds is RESOURCE_EXHAUSTED."""
    assert f"Grpc-Status: {code}" in status_fields(b"application/grpc", status, "why")


def test_a_message_is_percent_encoded() -> None:
    """It is a field, which cannot hold everything."""
    assert status_fields(b"application/grpc", 401, "100% ä\n")[2] == "Grpc-Message: 100%25 %C3%A4%0A"


def test_the_refusal_of_a_call_has_only_a_status() -> None:
    """And the challenge and Retry-After as metadata."""
    refusal = Refusal(401, "an access token is needed", challenges=("Bearer",), retry_after=3)
    assert refusal.for_request(lines(b"application/grpc+proto")).render(DATE, close=False, head_only=False) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 16\r\n"
        b"Grpc-Message: an access token is needed\r\nWWW-Authenticate: Bearer\r\nRetry-After: 3\r\n"
        b"Content-Length: 0\r\nDate: now\r\n\r\n"
    )


def test_the_refusal_of_a_call_is_written_once() -> None:
    """Refusals are prepared: those of calls on first use."""
    refusal = Refusal(403, "no")
    first, second = (refusal.for_request(lines(b"application/grpc")) for _ in range(2))
    assert first is second
    assert refusal.for_request(lines(b"application/grpc-web")) is not first


def test_any_other_request_gets_the_refusal_itself() -> None:
    """Also one without a content type."""
    assert responses.TOO_LARGE.for_request(lines(b"text/plain")) is responses.TOO_LARGE
    assert responses.TOO_LARGE.for_request([]) is responses.TOO_LARGE
