"""An access token of our own, driven by a fake clock, with every token request counted."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import Any

import pytest
from harness.clocks import Clock
from harness.outcomes import outcome_of

from enforcer.counters import FetchMetrics
from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError, UpstreamFailure
from enforcer.secret import Secret
from enforcer.tokens.documents.refresh_schedule import Lifetime, RefreshSchedule
from enforcer.tokens.documents.remote_document import RemoteDocument
from enforcer.tokens.introspection.client_authentication import Credentials, secret_post
from enforcer.tokens.introspection.client_credentials import (
    MAX_LIFETIME,
    BearerAuthentication,
    OwnAccessToken,
    TokenRequest,
    parse,
)
from enforcer.tokens.introspection.endpoint_result import EndpointResult, SendFailure
from enforcer.wire.callback import Callback
from enforcer.wire.http_client import HttpResponse
from enforcer.wire.ticker import Ticker

GIVEN: dict[str, Any] = {"access_token": "one", "token_type": "Bearer", "expires_in": 600}


def body(**members: Any) -> bytes:
    return json.dumps({**GIVEN, **members}).encode()


# Token responses


@pytest.mark.parametrize(
    ("members", "seconds"),
    [
        ({}, 600.0),
        ({"expires_in": 0.5}, 0.5),
        ({"expires_in": "600"}, 600.0),
        ({"expires_in": None}, 300.0),
        ({"expires_in": 10**30}, MAX_LIFETIME),
        ({"expires_in": 1e300}, MAX_LIFETIME),
        ({"token_type": "bearer"}, 600.0),
        ({"scope": "anything", "refresh_token": "x"}, 600.0),
    ],
)
def test_a_token_response_is_read(members: dict[str, Any], seconds: float) -> None:
    """RFC 6749 §5.1: the type's case does not matter; a missing lifetime is that of the settings, never infinite."""
    token = parse(body(**members), 300.0)
    assert token.credentials == Credentials(lines=b"Authorization: Bearer one\r\n")
    assert token.expires_in == seconds


def test_a_missing_lifetime_is_bounded_too() -> None:
    """The setting cannot make it longer."""
    assert parse(body(expires_in=None), 10 * MAX_LIFETIME).expires_in == MAX_LIFETIME


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"<html>", b"[]", b'{"access_token": "a"}', b'{"access_token": "a", "access_token": "b"}'),
        *(body(access_token=value) for value in ("", None, 1, "s3cret b", "s3cret\r\nX: y", "é", "s3cret,b", ["a"])),
        *(body(access_token="s3cret", token_type=value) for value in (None, 1, "DPoP", "mac", "")),
        *(body(expires_in=value) for value in (0, -1, True, False, "", "-1", "1.5", "1" * 16, "soon", [600])),
        body(expires_in={}),
        body()[:-1] + b', "x": NaN}',
    ],
)
def test_an_invalid_token_response_is_malformed_and_not_shown(data: bytes) -> None:
    """For example a token that no field can hold, another token type, or a lifetime that is not a number."""
    with pytest.raises(IntrospectionError) as error:
        parse(data, 300.0)
    assert error.value.reason is IntrospectionFailure.MALFORMED
    assert "s3cret" not in error.value.detail


@pytest.mark.parametrize(
    ("lifetime", "ahead", "refresh"), [(600.0, 30.0, 570.0), (40.0, 30.0, 20.0), (600.0, 0.0, 600.0), (1.0, 30.0, 0.5)]
)
def test_a_token_is_refreshed_before_it_expires(lifetime: float, ahead: float, refresh: float) -> None:
    """A short-lived token at half of its lifetime."""
    assert OwnAccessToken(Credentials(), lifetime).lifetime(ahead) == Lifetime(refresh, lifetime)


# Token requests


class TokenEndpoint:
    """Records the forms, and responds with a given result."""

    def __init__(self, *outcomes: HttpResponse | UpstreamError | IntrospectionError) -> None:
        self.outcomes = list(outcomes)
        self.forms: list[bytes] = []
        self.clock = Clock()
        self.closed = False

    def post(
        self, form: bytes, credentials: Credentials, client: str, callback: Callback[EndpointResult]
    ) -> SendFailure | None:
        self.forms.append(form + credentials.form)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if not isinstance(outcome, HttpResponse):
            return outcome
        self.clock.call_soon(callback, outcome)
        return None

    def close(self) -> None:
        self.closed = True


def fetched(endpoint: TokenEndpoint, *scopes: str) -> OwnAccessToken | IntrospectionError:
    request = TokenRequest(endpoint, secret_post("me", Secret("s")), scopes, 300.0)  # type: ignore[arg-type]
    return outcome_of(request.fetch, endpoint.clock)


@pytest.mark.parametrize(
    ("scopes", "form"),
    [
        ((), b"grant_type=client_credentials&client_id=me&client_secret=s"),
        (("a", "b:c"), b"grant_type=client_credentials&scope=a+b%3Ac&client_id=me&client_secret=s"),
    ],
)
def test_a_token_request_uses_the_client_credentials_grant(scopes: tuple[str, ...], form: bytes) -> None:
    """RFC 6749 §4.4.2; without `scope` if none is configured."""
    endpoint = TokenEndpoint(HttpResponse(200, body()))
    assert isinstance(fetched(endpoint, *scopes), OwnAccessToken)
    assert endpoint.forms == [form]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (HttpResponse(401, b""), IntrospectionFailure.REFUSED),
        (HttpResponse(400, b'{"error": "invalid_client"}'), IntrospectionFailure.REFUSED),
        (HttpResponse(400, b'{"error": "invalid_scope"}'), IntrospectionFailure.REFUSED),
        (HttpResponse(400, b"{}"), IntrospectionFailure.MALFORMED),
        (HttpResponse(302, b""), IntrospectionFailure.MALFORMED),
        (HttpResponse(200, b"<html>"), IntrospectionFailure.MALFORMED),
        (HttpResponse(503, b""), IntrospectionFailure.UNAVAILABLE),
        (UpstreamError(UpstreamFailure.TIMEOUT, "slow"), IntrospectionFailure.TIMEOUT),
        (IntrospectionError(IntrospectionFailure.MALFORMED, "no endpoint"), IntrospectionFailure.MALFORMED),
    ],
)
def test_a_failed_token_request_has_its_reason(outcome: Any, reason: IntrospectionFailure) -> None:
    """RFC 6749 §5.2: errors about our credentials are distinguished from errors of the server."""
    errors = fetched(TokenEndpoint(outcome))
    assert isinstance(errors, IntrospectionError)
    assert errors.reason is reason


# Refresh


def shown(credentials: Credentials) -> str:
    """Return the token in credentials."""
    return credentials.lines.decode().removeprefix("Authorization: Bearer ").removesuffix("\r\n")


class Bed:
    """Our token, at a server that gives a new one each time (`one0`, `one1`, …)."""

    def __init__(self, expires_in: float = 600.0) -> None:
        self.clock = Clock()
        self.ticker = Ticker(self.clock)  # type: ignore[arg-type]
        self.endpoint = TokenEndpoint(
            *(HttpResponse(200, body(access_token=f"one{n}", expires_in=expires_in)) for n in range(9))
        )
        self.endpoint.clock = self.clock
        request = TokenRequest(self.endpoint, secret_post("me", Secret("s")), (), 300.0)  # type: ignore[arg-type]
        freshness: RefreshSchedule[OwnAccessToken] = RefreshSchedule(lambda token: token.lifetime(30.0), 10.0)
        self.bearer = BearerAuthentication(
            RemoteDocument("our own token", request, freshness, self.ticker, FetchMetrics())
        )

    def get(self) -> str | IntrospectionFailure:
        """Return the token that a call would show, or why there is none."""
        outcome = outcome_of(self.bearer.authenticate, self.clock)
        if isinstance(outcome, IntrospectionError):
            return outcome.reason
        return shown(outcome)

    def reject(self) -> str | IntrospectionFailure:
        """Have the server reject the token that it would be shown; return what it is shown next."""
        rejected = outcome_of(self.bearer.authenticate, self.clock)
        assert isinstance(rejected, Credentials)
        renewed = outcome_of(partial(self.bearer.renew, rejected), self.clock)
        if renewed is rejected:
            return "rejected"
        return renewed.reason if isinstance(renewed, IntrospectionError) else shown(renewed)

    @property
    def requests(self) -> int:
        return len(self.endpoint.forms)


def test_one_token_is_used_until_it_is_refreshed_ahead() -> None:
    """It is fetched at the start and 30 s before it expires; no request waits."""
    bed = Bed()
    bed.clock.advance(0.2)
    assert (bed.get(), bed.requests) == ("one0", 1)
    bed.clock.advance(569.0)
    assert (bed.get(), bed.requests) == ("one0", 1)
    bed.clock.advance(1.5)
    assert (bed.get(), bed.requests) == ("one1", 2)


def test_a_request_before_the_first_tick_fetches_the_token() -> None:
    """The start does not wait for it."""
    bed = Bed()
    assert (bed.get(), bed.requests) == ("one0", 1)
    bed.clock.advance(1.0)
    assert bed.requests == 1


def test_if_the_refresh_fails_the_last_token_is_used_until_it_expires() -> None:
    """Then requests get the error; retries become rarer."""
    bed = Bed()
    bed.clock.advance(0.2)
    bed.endpoint.outcomes = [HttpResponse(503, b"")]
    bed.clock.advance(599.0)
    assert bed.get() == "one0"
    assert bed.requests == 7  # 1, 2, 4, 8, 10 s after another
    bed.clock.advance(1.0)
    assert bed.get() is IntrospectionFailure.UNAVAILABLE
    bed.endpoint.outcomes = [HttpResponse(200, body(access_token="new"))]
    bed.clock.advance(10.0)
    assert bed.get() == "new"


def test_a_rejected_token_is_replaced_at_once() -> None:
    """For example after the server lost its tokens in a restart."""
    bed = Bed()
    bed.clock.advance(60.0)
    assert (bed.reject(), bed.get(), bed.requests) == ("one1", "one1", 2)


def test_a_rejected_token_stays_in_use_until_there_is_another() -> None:
    """The server may have meant a token that a client made up: that must not stop the requests of all others.

    One fetch in each pause, however many requests are rejected.
    """
    bed = Bed()
    bed.clock.advance(0.2)
    for _ in range(100):
        assert (bed.reject(), bed.get()) == ("rejected", "one0")
    assert bed.requests == 1
    bed.clock.advance(10.5)
    bed.endpoint.outcomes = [HttpResponse(503, b"")]
    assert (bed.reject(), bed.get()) == (IntrospectionFailure.UNAVAILABLE, "one0")
    bed.endpoint.outcomes = [HttpResponse(200, body(access_token="new"))]
    bed.clock.advance(10.5)
    assert bed.get() == "new"


def test_only_the_rejected_token_is_replaced() -> None:
    """Of many concurrent requests with it, the last ones return when there is a new token already."""
    bed = Bed()
    bed.clock.advance(60.0)
    rejected: Any = outcome_of(bed.bearer.authenticate, bed.clock)
    for _ in range(5):
        assert shown(outcome_of(partial(bed.bearer.renew, rejected), bed.clock)) == "one1"
    assert bed.requests == 2


def test_a_closed_source_fetches_no_token() -> None:
    """The configuration that replaced it has its own."""
    bed = Bed(expires_in=60.0)
    bed.clock.advance(0.2)
    bed.bearer.close()
    bed.clock.advance(1000.0)
    assert (bed.requests, bed.endpoint.closed) == (1, True)


def test_the_token_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    """It would give access to more than one client's data."""
    caplog.set_level(logging.DEBUG)
    bed = Bed()
    bed.clock.advance(0.2)
    bed.endpoint.outcomes = [HttpResponse(401, b'{"error": "one0 is no client"}')]
    bed.clock.advance(600.0)
    assert caplog.records
    assert "one0" not in caplog.text
    assert "one" not in repr(parse(body(), 300.0))
