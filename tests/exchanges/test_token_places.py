"""`token_from`: tokens in other places than `Authorization: Bearer`, with the app and its clients at both ends."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from harness import plain_http
from harness.clients import Client, Response
from harness.configs import TOKEN, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.upstreams import Headers, Upstream, upstream
from harness.waiting import eventually
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

PLACES: dict[str, dict[str, Any]] = {
    "default": {},
    "header": {"token_from": {"header": "X-Token", "prefix": "Token "}},
    "basic": {"token_from": {"basic": True}},
    "both": {"token_from": {"basic": True, "bearer": True}},
    "cookie": {"token_from": {"cookie": "token"}},
    "query": {"token_from": {"query": "access_token"}},
    "websocket": {"token_from": {"subprotocol": "access-token."}},
}
RULES: list[dict[str, Any]] = [
    *({"name": name, "path": f"/{name}/**", "scopes": ["read"], **place} for name, place in PLACES.items()),
    {"name": "open", "path": "/open", "public": True, "token_from": {"cookie": "token", "query": "access_token"}},
]
BASIC = "Basic " + base64.b64encode(f"__token__:{TOKEN}".encode()).decode()


class Stack(NamedTuple):
    """An enforcer whose rules read tokens from several places, and its app."""

    proxy: Enforcer
    app: Upstream

    def request(self, target: str, *fields: tuple[str, str], method: str = "GET") -> Response:
        self.app.requests.clear()
        with Client(self.proxy.port, token=None) as client:
            return client.request(method, target, fields)

    def arrived(self) -> tuple[str, list[tuple[bytes, bytes]]]:
        """Return target and fields of the only request that the app got."""
        (request,) = self.app.requests
        ours = (b"host", b"accept", b"x-real-ip", b"x-auth-subject", b"x-auth-client", b"x-auth-scope")
        fields = [field for field in request.headers if field[0] not in ours and not field[0].startswith(b"x-forw")]
        return request.target.decode(), fields


@pytest.fixture(scope="module")
def stack(authorization_server: Server) -> Iterator[Stack]:
    with upstream() as app:
        changes: dict[str, Any] = {"log": {"decisions": "all", "level": "debug"}}
        with enforcer(config(app.url, authorization_server.port, rules=RULES, **changes)) as proxy:
            yield Stack(proxy, app)


@pytest.mark.parametrize(
    ("target", "fields", "seen", "remaining"),
    [
        ("/default/x", [("Authorization", f"Bearer {TOKEN}")], "/default/x", [(b"authorization", f"Bearer {TOKEN}")]),
        (
            "/default/x?access_token=its",
            [("Authorization", f"Bearer {TOKEN}")],
            "/default/x?access_token=its",
            [(b"authorization", f"Bearer {TOKEN}")],
        ),
        (
            "/header/x",
            [("X-Token", f"Token {TOKEN}"), ("Authorization", "Bearer app")],
            "/header/x",
            [(b"authorization", "Bearer app")],
        ),
        ("/basic/x", [("Authorization", BASIC)], "/basic/x", []),
        ("/both/x", [("Authorization", BASIC)], "/both/x", []),
        ("/both/x", [("Authorization", f"Bearer {TOKEN}")], "/both/x", [(b"authorization", f"Bearer {TOKEN}")]),
        (
            "/cookie/x",
            [("Cookie", f"a=1; token={TOKEN}; b=2"), ("Authorization", "Basic eDp5")],
            "/cookie/x",
            [(b"cookie", "a=1; b=2"), (b"authorization", "Basic eDp5")],
        ),
        ("/query/x?a=%2F&access_token=good%2Dtoken&b", [], "/query/x?a=%2F&b", []),
        ("/open?access_token=x&a=b", [("Cookie", "token=x")], "/open?a=b", []),
    ],
)
def test_the_app_gets_everything_but_the_token(
    stack: Stack, target: str, fields: Headers, seen: str, remaining: list[tuple[bytes, str]]
) -> None:
    """Authorization is the app's own if the rule does not read it, and a public rule removes tokens, too."""
    assert stack.request(target, *fields).status == 200
    assert stack.arrived() == (seen, [(name, value.encode()) for name, value in remaining])


@pytest.mark.parametrize(
    ("target", "fields", "status", "challenges"),
    [
        ("/basic/x", [], 401, [b'Basic realm="an access token as password"']),
        ("/basic/x", [("Authorization", f"Bearer {TOKEN}")], 401, [b'Basic realm="an access token as password"']),
        ("/basic/x", [("Authorization", "Basic eDp5")], 401, [b'Basic realm="an access token as password"']),
        ("/basic/x", [("Authorization", "Basic x")], 400, []),
        ("/both/x", [], 401, [b'Basic realm="an access token as password"', b"Bearer"]),
        ("/cookie/x", [], 401, [b"Bearer"]),
        ("/cookie/x", [("Cookie", "token=other-token")], 403, [b'Bearer error="insufficient_scope", scope="read"']),
        ("/cookie/x", [("Cookie", f"token={TOKEN}; token={TOKEN}")], 400, [b'Bearer error="invalid_request"']),
        ("/cookie/x", [("Cookie", f"token={TOKEN}"), ("Sec-Fetch-Site", "cross-site")], 403, []),
        ("/query/x?access_token=a&access_token=a", [], 400, [b'Bearer error="invalid_request"']),
        ("/header/x", [("Cookie", f"token={TOKEN}")], 401, [b"Bearer"]),
    ],
)
def test_refusals_name_the_schemes_of_the_rule(
    stack: Stack, target: str, fields: Headers, status: int, challenges: list[bytes]
) -> None:
    """So that clients which send Basic ask for credentials, and send them."""
    refusal = stack.request(target, *fields)
    assert (refusal.status, refusal.values("WWW-Authenticate")) == (status, challenges)
    assert stack.app.requests == []


def test_another_site_cannot_use_the_cookie(stack: Stack) -> None:
    """Neither with a form nor with a script; the page's own site can."""
    cookie = ("Cookie", f"token={TOKEN}")
    host = f"http://localhost:{stack.proxy.port}"
    assert stack.request("/cookie/x", cookie, ("Origin", "https://evil.example"), method="POST").status == 403
    assert stack.request("/cookie/x", cookie, method="POST").status == 403
    assert stack.request("/cookie/x", cookie, ("Origin", host), method="POST").status == 200
    assert stack.request("/cookie/x", cookie, ("Sec-Fetch-Site", "same-origin"), method="POST").status == 200
    metrics = plain_http.get(f"http://127.0.0.1:{stack.proxy.admin_port}/metrics").text
    assert 'enforcer_decisions_total{decision="deny",reason="cross_site_request",route="cookie"}' in metrics


def upgrade(stack: Stack, offered: str) -> bytes:
    with Client(stack.proxy.port, token=None) as client:
        head = f"GET /websocket/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{offered}\r\n"
        client.socket.sendall(head.encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += client.socket.recv(65536)
        return received.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    ("offered", "chosen", "answered"),
    [
        (f"chat, access-token.{TOKEN}", "Sec-WebSocket-Protocol: chat\r\n", b"Sec-WebSocket-Protocol: chat"),
        (f"access-token, access-token.{TOKEN}", "", b"Sec-WebSocket-Protocol: access-token"),
        (
            f"access-token, chat, access-token.{TOKEN}",
            "Sec-WebSocket-Protocol: chat\r\n",
            b"Sec-WebSocket-Protocol: chat",
        ),
        (f"access-token.{TOKEN}", "", None),
    ],
)
def test_a_subprotocol_carries_the_token(stack: Stack, offered: str, chosen: str, answered: bytes | None) -> None:
    """The response names one that the client offered, as browsers require, and never the token."""
    seen: list[bytes] = []

    def accept(incoming: Any) -> None:
        seen.extend(incoming.values("Sec-WebSocket-Protocol"))
        incoming.send_raw(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%b\r\n" % chosen.encode()
        )

    stack.app.handler = accept
    try:
        head = upgrade(stack, f"Sec-WebSocket-Protocol: {offered}\r\n")
    finally:
        stack.app.handler = lambda incoming: incoming.respond()
    assert head.startswith(b"HTTP/1.1 101 ")
    named = [line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-protocol")]
    assert named == ([] if answered is None else [answered])
    assert TOKEN.encode() not in b"".join(seen) + head
    assert seen == ([b"chat"] if "chat" in offered else [])


@pytest.mark.parametrize(("known", "chosen"), [(None, "access-token"), (["chat"], "chat")])
def test_a_real_websocket_brings_its_token(authorization_server: Server, known: Any, chosen: str) -> None:
    """Both ends of a library that checks subprotocols; the app knows none, or one of its own."""

    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    def select(connection: ServerConnection, offered: Any) -> Any:
        assert list(offered) == ["chat"] * (known is not None)
        return "chat" if known else None

    with serve(echo, "127.0.0.1", 0, select_subprotocol=select) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        app = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        try:
            with enforcer(config(app, authorization_server.port, rules=RULES)) as proxy:
                offered: Any = [*(known or ()), "access-token", f"access-token.{TOKEN}"]
                url = f"ws://localhost:{proxy.port}/websocket/x"
                with connect(url, subprotocols=offered, proxy=None) as websocket:
                    websocket.send("hello")
                    assert (websocket.recv(), websocket.subprotocol) == ("hello", chosen)
        finally:
            server.shutdown()
            thread.join()


def test_no_place_reveals_its_token_in_the_log(stack: Stack) -> None:
    """Also if the path or the request id repeats it, and if the request is refused or cannot be read."""
    marked = "S3CRET-marker-of-a-token"
    encoded = base64.b64encode(f"u:{marked}".encode()).decode()
    places = {
        "header": [("X-Token", f"Token {marked}")],
        "basic": [("Authorization", f"Basic {encoded}")],
        "cookie": [("Cookie", f"token={marked}")],
        "websocket": [("Sec-WebSocket-Protocol", f"access-token.{marked}")],
        "query": [],
    }
    for name, fields in places.items():
        for path in (
            f"/{name}/x",
            f"/{name}/{marked}",
            f"/{name}/../{marked}",
            "/nowhere",
            f"/nowhere/{marked}",
            f"//{marked}",
        ):
            for request_id in ("harmless-id", marked, f"id-{marked}"):
                target = f"{path}?access_token={marked}" if name == "query" else path
                stack.request(target, *fields, ("X-Request-Id", request_id))
    stack.request("/nowhere", ("X-Request-Id", "last-of-all"))
    assert eventually(lambda: "last-of-all" in stack.proxy.log())
    log = stack.proxy.log()
    assert marked not in log
    assert encoded not in log
    assert "token: in cookie" in log
    denials = [json.loads(line) for line in log.splitlines() if line.startswith("{") and '"decision"' in line]
    assert all("access_token" not in json.dumps(denial) for denial in denials)
