"""Introspection over real sockets."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import pytest
from harness.outcomes import outcome
from harness.servers import Server, raw_server, response
from harness.waiting import TIMEOUT

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.secret import Secret
from enforcer.settings.connections.pool import BreakerSettings, IntrospectionPool, PoolSettings
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.client import IntrospectionClient
from enforcer.tokens.introspection.client_authentication import Authentication, Credentials, secret_basic
from enforcer.tokens.introspection.endpoint import KnownEndpoint
from enforcer.tokens.introspection.introspector import Introspector, JsonReader
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome
from enforcer.tokens.lookup import Lookup
from enforcer.wire.callback import Callback
from enforcer.wire.dialing.connector import ServerAddress
from enforcer.wire.http_client import HttpClient
from enforcer.wire.pool import Pool
from enforcer.wire.ticker import Ticker

BASIC = secret_basic("me", Secret("secret"))


def introspection_client(
    endpoint: KnownEndpoint, ticker: Ticker, authentication: Authentication = BASIC
) -> IntrospectionClient:
    introspector = Introspector(endpoint, authentication, JsonReader())
    return IntrospectionClient("main", introspector, BreakerSettings(), IntrospectionPool(), ticker)


def introspect_all(
    server: Server, *tokens: bytes | Lookup, authentication: Authentication = BASIC
) -> list[IntrospectionOutcome]:
    """Introspect tokens, one after the other; they are of one client, if they are not lookups."""

    async def run() -> list[IntrospectionOutcome]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host="127.0.0.1", port=server.port), PoolSettings(), ticker, loop)
        client = HttpClient(pool, timeout=TIMEOUT, max_body=1000)
        endpoint = KnownEndpoint(client, "as.example", "/introspect?x=1")
        introspector = introspection_client(endpoint, ticker, authentication)
        lookups = [token if isinstance(token, Lookup) else Lookup(token, "192.0.2.1") for token in tokens]
        results = [await outcome(partial(introspector.introspect, lookup)) for lookup in lookups]
        introspector.close()
        ticker.stop()
        return results

    return asyncio.run(run())


def always(status: str, body: bytes) -> Callable[[bytes, bytes], bytes]:
    return lambda head, sent: response(body, status)


def test_a_request_is_a_form_with_the_token_and_our_credentials() -> None:
    """RFC 7662 §2.1; any b64token is one parameter."""
    with raw_server(always("200 OK", b'{"active": true, "scope": "a"}')) as server:
        (answer,) = introspect_all(server, b"a-._~+/b==")
        ((head, body),) = server.requests
    assert isinstance(answer, ActiveToken)
    assert head.startswith(b"POST /introspect?x=1 HTTP/1.1\r\nHost: as.example\r\n")
    assert b"\r\nAuthorization: Basic bWU6c2VjcmV0\r\n" in head
    assert body == b"token=a-._~%2B%2Fb%3D%3D&token_type_hint=access_token"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        ("401 Unauthorized", b"", IntrospectionFailure.REFUSED),
        ("403 Forbidden", b"", IntrospectionFailure.REFUSED),
        ("400 Bad Request", b'{"error": "invalid_client"}', IntrospectionFailure.REFUSED),
        ("400 Bad Request", b'{"error": "invalid_request"}', IntrospectionFailure.MALFORMED),
        ("400 Bad Request", b"<html>", IntrospectionFailure.MALFORMED),
        ("302 Found", b"", IntrospectionFailure.MALFORMED),
        ("404 Not Found", b"", IntrospectionFailure.MALFORMED),
        ("500 Internal Server Error", b"", IntrospectionFailure.UNAVAILABLE),
        ("503 Service Unavailable", b"", IntrospectionFailure.UNAVAILABLE),
        ("429 Too Many Requests", b"", IntrospectionFailure.UNAVAILABLE),
        ("200 OK", b"<html>", IntrospectionFailure.MALFORMED),
        ("200 OK", b" " * 1001, IntrospectionFailure.MALFORMED),
    ],
)
def test_an_invalid_response_is_an_error_with_its_reason(
    status: str, body: bytes, reason: IntrospectionFailure
) -> None:
    """It never makes the token inactive."""
    with raw_server(always(status, body)) as server:
        (error,) = introspect_all(server, b"t")
    assert isinstance(error, IntrospectionError)
    assert error.reason is reason


@pytest.mark.parametrize("code", ["invalid_token", "unsupported_token_type", "invalid_grant", "expired_token"])
@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "500 Internal Server Error"]
)
def test_an_error_about_the_token_makes_it_inactive(status: str, code: str) -> None:
    """RFC 7662 has no such error; servers that respond with one mean the token, whatever the status."""
    with raw_server(always(status, b'{"error": "%b"}' % code.encode())) as server:
        assert introspect_all(server, b"t") == [INACTIVE]


@pytest.mark.parametrize(
    "status", ["500 Internal Server Error", "401 Unauthorized", "403 Forbidden", "400 Bad Request"]
)
def test_a_response_of_any_status_stops_no_request(status: str) -> None:
    """It may be about the token, which any client can make up: a client that sends junk must not cut off others."""

    def answer(head: bytes, body: bytes) -> bytes:
        return response(b"", status) if b"odd" in body else response(b'{"active": true}')

    with raw_server(answer) as server:
        *odd, good = introspect_all(server, *[b"odd"] * 20, b"t")
        assert len(server.requests) == 21
    assert all(isinstance(item, IntrospectionError) for item in odd)
    assert isinstance(good, ActiveToken)


def test_retry_after_is_heeded_for_the_client_that_caused_it() -> None:
    """It is passed on to the client. No more requests are sent for it, and those of another client are."""
    limited = response(b"", "429 Too Many Requests", "Retry-After: 7")
    with raw_server(lambda head, body: limited if b"odd" in body else response(b'{"active": true}')) as server:
        first, held, other = introspect_all(server, b"odd", b"t", Lookup(b"t", "192.0.2.2"))
        assert len(server.requests) == 2
    assert isinstance(first, IntrospectionError)
    assert isinstance(held, IntrospectionError)
    assert (first.reason, first.retry_after) == (IntrospectionFailure.UNAVAILABLE, 7.0)
    assert held.reason is IntrospectionFailure.CIRCUIT_OPEN
    assert held.retry_after == pytest.approx(7.0, abs=2.0)
    assert isinstance(other, ActiveToken)


class Renewed:
    """Credentials that are replaced by the next ones, or by an error."""

    def __init__(self, *results: bytes | IntrospectionError, later: bool = False) -> None:
        self._later = later
        self._credentials = [
            item if isinstance(item, IntrospectionError) else Credentials(lines=item) for item in results
        ]
        self.refused: list[bytes] = []

    def authenticate(
        self, callback: Callback[Credentials | IntrospectionError]
    ) -> Credentials | IntrospectionError | None:
        results = self._credentials.pop(0)
        if not self._later:
            return results
        asyncio.get_running_loop().call_soon(callback, results)
        return None

    @property
    def renewable(self) -> bool:
        return True

    def renew(
        self, rejected: Credentials, callback: Callback[Credentials | IntrospectionError]
    ) -> Credentials | IntrospectionError | None:
        self.refused.append(rejected.lines)
        return self.authenticate(callback) if self._credentials else rejected

    def close(self) -> None:
        pass


FIRST, SECOND = b"Authorization: Bearer first\r\n", b"Authorization: Bearer second\r\n"
NO_TOKEN = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "no token of our own")


def accept_only(line: bytes) -> Callable[[bytes, bytes], bytes]:
    """Respond to requests with these credentials, and refuse all others."""

    def answer(head: bytes, body: bytes) -> bytes:
        return response(b'{"active": true}') if line in head else response(b"", "401 Unauthorized")

    return answer


def test_without_credentials_no_request_is_sent() -> None:
    """The error is returned; it stops no later request, because the server had no part in it."""
    with raw_server(accept_only(FIRST)) as server:
        *failed, last = introspect_all(server, *[b"t"] * 6, authentication=Renewed(*[NO_TOKEN] * 5, FIRST))
        assert len(server.requests) == 1
    assert failed == [NO_TOKEN] * 5
    assert isinstance(last, ActiveToken)


def test_rejected_credentials_are_replaced_and_the_request_repeated_once() -> None:
    """RFC 6750 §3.1: 401 means that they have expired. The client does not notice."""
    for later in (False, True):
        with raw_server(accept_only(SECOND)) as server:
            authentication = Renewed(FIRST, SECOND, later=later)
            (answer,) = introspect_all(server, b"t", authentication=authentication)
            assert len(server.requests) == 2
        assert isinstance(answer, ActiveToken)
        assert authentication.refused == [FIRST]


def test_the_request_is_not_repeated_twice() -> None:
    """A server that rejects all credentials that it issued to us is not flooded."""
    with raw_server(accept_only(b"nothing")) as server:
        authentication = Renewed(FIRST, SECOND)
        (error,) = introspect_all(server, b"t", authentication=authentication)
        assert len(server.requests) == 2
    assert isinstance(error, IntrospectionError)
    assert error.reason is IntrospectionFailure.REFUSED
    assert authentication.refused == [FIRST]


def test_without_newer_credentials_the_request_is_not_repeated() -> None:
    """Nor is an error about the token a statement about it: the server may mean our own token (RFC 6750 §3.1)."""
    with raw_server(always("401 Unauthorized", b'{"error": "invalid_token"}')) as server:
        (error,) = introspect_all(server, b"t", authentication=Renewed(FIRST))
        assert len(server.requests) == 1
    assert isinstance(error, IntrospectionError)
    assert error.reason is IntrospectionFailure.REFUSED


def test_insufficient_scope_does_not_replace_the_credentials() -> None:
    """RFC 6750 §3.1: new credentials would allow no more."""
    with raw_server(always("403 Forbidden", b'{"error": "insufficient_scope"}')) as server:
        authentication = Renewed(FIRST)
        (error,) = introspect_all(server, b"t", authentication=authentication)
    assert isinstance(error, IntrospectionError)
    assert (error.reason, authentication.refused) == (IntrospectionFailure.REFUSED, [])


def test_our_own_full_queue_stops_no_request() -> None:
    """Most of many lookups at once find no connection in time; the next lookup is sent all the same."""
    slow = threading.Event()

    def answer(head: bytes, body: bytes) -> bytes:
        slow.wait(TIMEOUT)
        return response(b'{"active": true}')

    async def run(server: Server) -> list[IntrospectionOutcome]:
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop)
        pool = Pool(ServerAddress(host="127.0.0.1", port=server.port), PoolSettings(connections=1), ticker, loop)
        introspector = introspection_client(
            KnownEndpoint(HttpClient(pool, timeout=0.3, max_body=1000), "as", "/"), ticker
        )
        requests = [partial(introspector.introspect, Lookup(b"t", f"192.0.2.{number}")) for number in range(10)]
        results = await asyncio.gather(*map(outcome, requests))
        slow.set()
        results.append(await outcome(requests[0]))
        introspector.close()
        ticker.stop()
        return results

    with raw_server(answer) as server:
        *failed, last = asyncio.run(run(server))
    assert all(isinstance(result, IntrospectionError) for result in failed)
    assert isinstance(last, ActiveToken)
