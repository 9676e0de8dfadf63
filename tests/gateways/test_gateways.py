"""Real gateways with the shipped examples: what reaches the app, and what of each refusal reaches the client.

`make gateways` runs them; those that are not installed are skipped. docs/decision-api.md has the results as a table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.clients import Client, Response
from harness.servers import response
from harness.waiting import eventually

from gateways.gateway import GATEWAYS, Gateway, Stack, running

pytestmark = pytest.mark.skipif("GATEWAYS" not in os.environ, reason="run by `make gateways`")

PATHS = [
    *("/public/../admin/x", "/public/%2e%2e/admin/x", "/public/%2E./admin/x", "/public/..%2fadmin/x"),
    *("/public//../admin/x", "//admin/x", "/public/./../admin/x", "/public\\..\\admin\\x", "/public/%5c../admin/x"),
    *("/public/..;/admin/x", "/public/%252e%252e/admin/x", "/public/x%00/../../admin/x"),
]
"""Twelve paths below `/public` by one reading, and below `/admin` by another."""


@pytest.fixture(scope="module", params=GATEWAYS, ids=lambda gateway: gateway.name)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    gateway: Gateway = request.param
    if gateway.program is None:
        pytest.skip(f"{gateway.name} is not installed")
    with running(gateway, tmp_path_factory.mktemp(gateway.name)) as served:
        yield served


def ask(stack: Stack, target: str, *fields: tuple[str, str], token: str | None = None, method: str = "GET") -> Response:
    with Client(stack.port, token=token, timeout=20.0) as client:
        return client.request(method, target, fields)


def arrived(answer: Response) -> dict[str, str]:
    """Return the fields that arrived at the app, in lower case; empty names are the request line."""
    first, *lines = answer.body.decode().splitlines()
    return {"": first, **{name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}}


def test_the_walk(stack: Stack) -> None:
    """401 with its challenge, then 200 with the identity of the sender."""
    refused = ask(stack, "/read/AUS?a=b%20c")
    assert (refused.status, refused.values("WWW-Authenticate")) == (401, [b"Bearer"])
    allowed = ask(stack, "/read/AUS?a=b%20c", token="good-token")
    assert allowed.status == 200, allowed.body
    request = arrived(allowed)
    assert request[""] == "GET /read/AUS?a=b%20c"
    assert [request.get(f"x-auth-{name}") for name in ("subject", "client", "scope")] == [
        *("alice", "walker", "country.read")
    ]


def test_the_challenge_of_a_403_reaches_the_client(stack: Stack) -> None:
    """It says which scope is missing."""
    answer = ask(stack, "/read/AUS", token="other-token")
    expected = b'Bearer error="insufficient_scope", scope="country.read"'
    assert (answer.status, answer.values("WWW-Authenticate")) == (403, [expected])


def test_an_invalid_token_is_401_with_its_error(stack: Stack) -> None:
    """Once: nginx adds the challenge itself."""
    answer = ask(stack, "/read/AUS", token="no-such-token")
    assert (answer.status, answer.values("WWW-Authenticate")) == (401, [b'Bearer error="invalid_token"'])


def test_an_outage_of_the_authorization_server_is_503_with_retry_after(stack: Stack) -> None:
    """Never 401, and never open."""
    respond, stack.server.respond = stack.server.respond, lambda *_: response(b"", "500 Internal Server Error")
    try:
        answer = ask(stack, "/read/AUS", token="unseen-token")
    finally:
        stack.server.respond = respond
    assert answer.status == 503
    # Envoy takes a 5xx of an HTTP service for an error of its own, and passes nothing of it on.
    assert len(answer.values("Retry-After")) == (stack.gateway.name != "envoy-http")


FORGED = [
    *(("X-Auth-Subject", "root"), ("x-auth-scope", "admin"), ("X_Auth_Subject", "root"), ("X-Auth_Client", "root")),
    *(("X-Original-URI", "/public/x"), ("X-Original-URL", "http://app/public/x"), ("X-Original-Method", "OPTIONS")),
    *(("X-Forwarded-Uri", "/public/x"), ("X-Forwarded-Method", "GET"), ("X-Forwarded-Host", "other")),
    ("X-Enforcer-Secret", "hush"),
]


@pytest.mark.parametrize("number", range(len(FORGED)), ids=[name for name, _ in FORGED])
def test_a_forged_field_changes_nothing(stack: Stack, number: int) -> None:
    """Neither the decision, nor the sender that the app sees. Envoy refuses a field with an underscore."""
    forged = FORGED[number]
    assert ask(stack, "/admin/x", forged, token="good-token").status in (400, 403)
    answer = ask(stack, "/public/x", forged)
    if answer.status != 400:
        fields = arrived(answer)
        assert not [name for name in fields if name.replace("_", "-").startswith("x-auth-")]


@pytest.mark.parametrize("path", PATHS)
def test_no_reading_of_a_path_is_open(stack: Stack, path: str) -> None:
    """The app gets a request only if no reading of its path is below `/admin`."""
    answer = ask(stack, path)
    assert answer.status in (400, 401, 403, 404) or not arrived(answer)[""].startswith("GET /admin"), answer.body


def test_methods(stack: Stack) -> None:
    """HEAD like GET, a preflight without a token, and no other method than the rule has."""
    assert ask(stack, "/read/x", token="good-token", method="HEAD").status == 200
    assert ask(stack, "/read/x", method="HEAD").status == 401
    assert ask(stack, "/read/x", token="good-token", method="POST").status == 403
    preflight = (("Origin", "https://web"), ("Access-Control-Request-Method", "GET"))
    assert ask(stack, "/read/x", *preflight, method="OPTIONS").status == 200
    assert ask(stack, "/read/x", method="OPTIONS").status == 403


def test_another_target_that_a_field_names_is_decided_on_too(stack: Stack) -> None:
    """An app that honours it serves another request than the one that the request line describes."""
    override = ("X-HTTP-Method-Override", "POST")
    assert ask(stack, "/read/x", override, token="good-token").status == 403
    written, denied = ("Destination", "/write/y"), ("Destination", "/admin/y")
    assert ask(stack, "/write/x", written, token="good-token", method="MOVE").status == 200
    for destinations in ([denied], [written, denied], [denied, written], []):
        assert ask(stack, "/write/x", *destinations, token="good-token", method="MOVE").status in (400, 403, 503)


def test_a_websocket(stack: Stack) -> None:
    """The upgrade is decided like any request; then the gateway copies bytes."""
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    upgrade += [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
    assert ask(stack, "/read/x", *upgrade).status == 401
    with Client(stack.port, token="good-token", timeout=20.0) as client:
        client.begin("GET", "/read/x", upgrade)
        client.end()
        data = b""
        while b"welcome" not in data and (piece := client.socket.recv(65536)):
            data += piece
        assert data.startswith(b"HTTP/1.1 101 ")
        assert data.endswith(b"welcome")


def test_a_large_upload(stack: Stack) -> None:
    """Its body never reaches the enforcer."""
    with Client(stack.port, token="good-token") as client:
        answer = client.request("PUT", "/write/x", body=bytes(20 * 1024**2))
    assert (answer.status, arrived(answer).get("body")) == (200, str(20 * 1024**2))


def test_a_hundred_at_once(stack: Stack) -> None:
    """Each gets its own answer."""

    def status(number: int) -> int:
        return ask(stack, "/read/x", token="good-token" if number % 2 else None).status

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(status, range(100))) == [401, 200] * 50


def test_z_an_outage_of_the_enforcer_is_closed(stack: Stack) -> None:
    """The last test of a gateway: the enforcer ends, and nothing reaches the app any more, public or not."""
    before = len(stack.app.requests)
    assert stack.enforcer.stop() == 0
    assert eventually(lambda: ask(stack, "/public/x").status in (500, 502, 503))
    assert ask(stack, "/read/x", token="good-token").status in (500, 502, 503)
    assert len(stack.app.requests) == before
