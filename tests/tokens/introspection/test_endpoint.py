"""Endpoints: known ones, and those that come from metadata."""

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
    """Keeps what it is to send, and answers all of it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, request: bytes, callback: Callback[EndpointResult]) -> None:
        self.sent.append(request)
        self.clock.call_soon(callback, HttpResponse(200, b"{}"))

    def close(self) -> None:
        self.closed = True


class Kept:
    """Metadata as it is now."""

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
    """An endpoint to be discovered, and who is called by URL."""

    def __init__(self, now: Metadata | IntrospectionError, name: EndpointName = "introspection_endpoint") -> None:
        self.clock = Clock()
        self.kept = Kept(now)
        self.callers: dict[str, Caller] = {}
        self.made: list[str] = []
        self.endpoint = DiscoveredEndpoint(name, self.kept, self._make)  # type: ignore[arg-type]

    def _make(self, url: str) -> KnownEndpoint:
        if ":0/" in url:
            raise ValueError("not a URL")
        self.made.append(url)
        caller = self.callers[url] = Caller(self.clock)
        return KnownEndpoint(caller, "as.example", "/x")  # type: ignore[arg-type]

    def post(self) -> EndpointResult:
        credentials = Credentials(form=b"&client_id=me")

        def call(callback: Callback[EndpointResult]) -> EndpointResult | None:
            return self.endpoint.post(b"token=t", credentials, callback)

        return outcome_of(call, self.clock)

    def sent(self) -> dict[str, int]:
        return {url: len(caller.sent) for url, caller in self.callers.items()}


def test_a_form_carries_the_credentials_and_its_length() -> None:
    """Field lines among the others, parameters at its end."""
    caller = Caller(Clock())
    endpoint = KnownEndpoint(caller, "as.example:1", "/x?y")  # type: ignore[arg-type]
    endpoint.post(b"a=b", Credentials(b"Authorization: Basic x\r\n", b"&c=d"), lambda _: None)
    endpoint.get(lambda _: None)
    posted, got = caller.sent
    assert posted.startswith(b"POST /x?y HTTP/1.1\r\nHost: as.example:1\r\n")
    assert posted.endswith(b"Authorization: Basic x\r\nContent-Length: 7\r\n\r\na=b&c=d")
    assert got.startswith(b"GET /x?y HTTP/1.1\r\nHost: as.example:1\r\n")
    endpoint.close()
    assert caller.closed


def test_until_metadata_is_there_nothing_is_sent() -> None:
    """The caller gets the reason."""
    bed = Bed(DOWN)
    assert bed.post() is DOWN
    assert bed.made == []
    bed.kept.now = metadata(introspection_endpoint="https://as.example/a")
    assert bed.post() == HttpResponse(200, b"{}")
    assert bed.sent() == {"https://as.example/a": 1}


def test_it_goes_where_the_metadata_says_and_nowhere_else() -> None:
    """Not to another endpoint of the same server."""
    other = "https://as.example/other"
    bed = Bed(metadata(jwks_uri=other, token_endpoint=other))
    outcome = bed.post()
    assert isinstance(outcome, IntrospectionError)
    assert str(outcome) == "malformed: its metadata names no introspection_endpoint"
    assert bed.made == []


def test_an_endpoint_is_made_once_and_anew_when_it_moves(caplog: pytest.LogCaptureFixture) -> None:
    """The connections to the old place are kept no longer; each place is logged, without its query."""
    caplog.set_level(logging.INFO)
    first, second = "https://as.example/a", "https://other.example/b?key=hidden"
    bed = Bed(metadata(introspection_endpoint=first))
    bed.post()
    bed.kept.now = metadata(introspection_endpoint=first, jwks_uri="https://as.example/new")
    bed.post()
    bed.kept.now = metadata(introspection_endpoint=second)
    bed.post()
    assert bed.sent() == {first: 2, second: 1}
    assert bed.made == [first, second]
    assert [caller.closed for caller in bed.callers.values()] == [True, False]
    assert [record.getMessage() for record in caplog.records] == [
        "the introspection_endpoint of https://as.example is https://as.example/a",
        "the introspection_endpoint of https://as.example is https://other.example/b",
    ]


def test_while_metadata_cannot_be_had_any_more_nothing_is_sent() -> None:
    """It is for who keeps the metadata to say how long it holds."""
    bed = Bed(metadata(introspection_endpoint="https://as.example/a"))
    bed.post()
    bed.kept.now = DOWN
    assert bed.post() is DOWN
    assert bed.sent() == {"https://as.example/a": 1}


def test_a_closed_one_closes_what_is_its_own() -> None:
    """The metadata, which would be fetched indefinitely, and the connections."""
    for asked in (False, True):
        bed = Bed(metadata(introspection_endpoint="https://as.example/a"))
        if asked:
            bed.post()
        bed.endpoint.close()
        assert bed.kept.closed
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
def test_what_is_no_content_says_why(outcome: EndpointResult, reason: IntrospectionFailure | None) -> None:
    """A redirect is not a valid response."""
    found = response_body(outcome)
    assert isinstance(found, IntrospectionError)
    assert reason in (found.reason, None)


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
def test_a_refusal_is_about_us(outcome: EndpointResult, refused: bool) -> None:
    """RFC 6749 §5.2: by status, or by one of the codes that are about a client."""
    body = authenticated_body(outcome)
    assert (isinstance(body, IntrospectionError) and body.reason is IntrospectionFailure.REFUSED) is refused


@pytest.mark.parametrize(
    ("body", "code"),
    [(b'{"error": "a"}', "a"), (b"{}", None), (b"[]", None), (b"<html>", None), (b"", None), (b"[" * 9999, None)],
)
def test_an_error_code_is_read_from_anything(body: bytes, code: Any) -> None:
    """And never an exception."""
    assert error_code(HttpResponse(400, body)) == code


def test_an_endpoint_that_cannot_be_called_is_told_of() -> None:
    """A new URL is checked when its endpoint is built; waiting callers get a result, the old endpoint is unused."""
    bed = Bed(metadata(introspection_endpoint="https://as.example:0/i"))
    outcome = bed.post()
    assert isinstance(outcome, IntrospectionError)
    assert outcome.reason is IntrospectionFailure.MALFORMED
