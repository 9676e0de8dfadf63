"""Endpoints of an authorization server: configured ones, and ones that its metadata names."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from harness.clocks import Clock
from harness.outcomes import outcome_of

from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.tokens.introspection.client_authentication import Credentials
from enforcer.tokens.introspection.endpoint import DiscoveredEndpoint, KnownEndpoint
from enforcer.tokens.introspection.endpoint_result import EndpointResult, authenticated_body, error_code, response_body
from enforcer.tokens.introspection.metadata import EndpointName, Metadata
from enforcer.wire.callback import Callback
from enforcer.wire.http_client import HttpResponse

ISSUER = "https://as.example"
DOWN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "down")


class Caller:
    """Records what it is to send, and responds to all of it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, request: bytes, client: str, callback: Callback[EndpointResult]) -> None:
        self.sent.append(request)
        self.clock.call_soon(callback, HttpResponse(200, b"{}"))

    def close(self) -> None:
        self.closed = True


class FixedMetadata:
    """Metadata that a test can replace."""

    def __init__(self, now: Metadata | IntrospectionError) -> None:
        self.now = now
        self.closed = False

    def get(self, callback: Callback[Metadata | IntrospectionError]) -> Metadata | IntrospectionError | None:
        return self.now

    def close(self) -> None:
        self.closed = True


def metadata(**endpoints: str) -> Metadata:
    return Metadata(ISSUER, endpoints)  # type: ignore[arg-type]


class Bed:
    """An endpoint that metadata names, and the clients that were made, by URL."""

    def __init__(self, now: Metadata | IntrospectionError, name: EndpointName = "introspection_endpoint") -> None:
        self.clock = Clock()
        self.metadata = FixedMetadata(now)
        self.callers: dict[str, Caller] = {}
        self.made: list[str] = []
        self.endpoint = DiscoveredEndpoint(name, self.metadata, self._make)

    def _make(self, url: str) -> KnownEndpoint:
        if ":0/" in url:
            raise ValueError("not a URL")
        self.made.append(url)
        caller = self.callers[url] = Caller(self.clock)
        return KnownEndpoint(caller, "as.example", "/x")

    def post(self) -> EndpointResult:
        credentials = Credentials(form=b"&client_id=me")

        def call(callback: Callback[EndpointResult]) -> EndpointResult | None:
            return self.endpoint.post(b"token=t", credentials, "client", callback)

        return outcome_of(call, self.clock)

    def sent(self) -> dict[str, int]:
        return {url: len(caller.sent) for url, caller in self.callers.items()}


def test_a_form_request_has_credentials_and_content_length() -> None:
    """Field lines go among the other fields, parameters to the end of the form."""
    caller = Caller(Clock())
    endpoint = KnownEndpoint(caller, "as.example:1", "/x?y")
    endpoint.post(b"a=b", Credentials(b"Authorization: Basic x\r\n", b"&c=d"), "client", lambda _: None)
    endpoint.get(lambda _: None)
    posted, got = caller.sent
    assert posted.startswith(b"POST /x?y HTTP/1.1\r\nHost: as.example:1\r\n")
    assert posted.endswith(b"Authorization: Basic x\r\nContent-Length: 7\r\n\r\na=b&c=d")
    assert got.startswith(b"GET /x?y HTTP/1.1\r\nHost: as.example:1\r\n")
    endpoint.close()
    assert caller.closed


def test_without_metadata_no_request_is_sent() -> None:
    """The error is returned."""
    bed = Bed(DOWN)
    assert bed.post() is DOWN
    assert bed.made == []
    bed.metadata.now = metadata(introspection_endpoint="https://as.example/a")
    assert bed.post() == HttpResponse(200, b"{}")
    assert bed.sent() == {"https://as.example/a": 1}


def test_a_request_goes_to_the_endpoint_that_the_metadata_names() -> None:
    """Not to another endpoint of the same server."""
    other = "https://as.example/other"
    bed = Bed(metadata(jwks_uri=other, token_endpoint=other))
    outcome = bed.post()
    assert isinstance(outcome, IntrospectionError)
    assert str(outcome) == "malformed: its metadata names no introspection_endpoint"
    assert bed.made == []


def test_an_endpoint_is_replaced_only_if_its_url_changes(caplog: pytest.LogCaptureFixture) -> None:
    """Connections to the old URL are closed; each URL is logged without its query."""
    caplog.set_level(logging.INFO)
    first, second = "https://as.example/a", "https://other.example/b?key=hidden"
    bed = Bed(metadata(introspection_endpoint=first))
    bed.post()
    bed.metadata.now = metadata(introspection_endpoint=first, jwks_uri="https://as.example/new")
    bed.post()
    bed.metadata.now = metadata(introspection_endpoint=second)
    bed.post()
    assert bed.sent() == {first: 2, second: 1}
    assert bed.made == [first, second]
    assert [caller.closed for caller in bed.callers.values()] == [True, False]
    assert [record.getMessage() for record in caplog.records] == [
        "the introspection_endpoint of https://as.example is https://as.example/a",
        "the introspection_endpoint of https://as.example is https://other.example/b",
    ]


def test_after_the_metadata_expired_no_request_is_sent() -> None:
    """The metadata source decides how long it is valid."""
    bed = Bed(metadata(introspection_endpoint="https://as.example/a"))
    bed.post()
    bed.metadata.now = DOWN
    assert bed.post() is DOWN
    assert bed.sent() == {"https://as.example/a": 1}


def test_closing_an_endpoint_closes_its_metadata_and_connections() -> None:
    """Otherwise the metadata would be fetched forever."""
    for rejected in (False, True):
        bed = Bed(metadata(introspection_endpoint="https://as.example/a"))
        if rejected:
            bed.post()
        bed.endpoint.close()
        assert bed.metadata.closed
        assert all(caller.closed for caller in bed.callers.values())


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (DOWN, IntrospectionFailure.UNAVAILABLE),
        *((UpstreamError(failure, "x"), None) for failure in UpstreamFailure),
        *((HttpResponse(status, b""), IntrospectionFailure.MALFORMED) for status in (204, 301, 302, 307, 400, 404)),
        *((HttpResponse(status, b""), IntrospectionFailure.UNAVAILABLE) for status in (429, 500, 503)),
    ],
)
def test_a_response_without_content_is_an_error_with_its_reason(
    outcome: EndpointResult, reason: IntrospectionFailure | None
) -> None:
    """A redirect is not followed."""
    content = response_body(outcome)
    assert isinstance(content, IntrospectionError)
    assert reason in (content.reason, None)


@pytest.mark.parametrize(
    ("outcome", "refused"),
    [
        (HttpResponse(401, b""), True),
        (HttpResponse(403, b"<html>"), True),
        (HttpResponse(400, b'{"error": "invalid_client"}'), True),
        (HttpResponse(400, b'{"error": "unauthorized_client"}'), True),
        (HttpResponse(400, b'{"error": "invalid_request"}'), False),
        (HttpResponse(400, b'{"error": ["invalid_client"]}'), False),
        (HttpResponse(200, b'{"error": "invalid_client"}'), False),
        (HttpResponse(404, b""), False),
        (UpstreamError(UpstreamFailure.TIMEOUT, "slow"), False),
        (DOWN, False),
    ],
)
def test_a_refusal_concerns_our_credentials(outcome: EndpointResult, refused: bool) -> None:
    """RFC 6749 §5.2: by its status, or by an error code that is about the client."""
    body = authenticated_body(outcome)
    assert (isinstance(body, IntrospectionError) and body.reason is IntrospectionFailure.REFUSED) is refused


@pytest.mark.parametrize(
    ("body", "code"),
    [(b'{"error": "a"}', "a"), (b"{}", None), (b"[]", None), (b"<html>", None), (b"", None), (b"[" * 9999, None)],
)
def test_an_error_code_is_read_from_any_body(body: bytes, code: Any) -> None:
    """No body raises an exception."""
    assert error_code(HttpResponse(400, body)) == code


def test_an_endpoint_with_an_unusable_url_is_an_error() -> None:
    """Its URL is checked when it is created; waiting requests get the error, and the old endpoint is not used."""
    bed = Bed(metadata(introspection_endpoint="https://as.example:0/i"))
    outcome = bed.post()
    assert isinstance(outcome, IntrospectionError)
    assert outcome.reason is IntrospectionFailure.MALFORMED
