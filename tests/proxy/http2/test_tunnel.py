"""Tunnels of streams, as scripts of a client on h2: the handshake, both directions whole, and every end."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from h2.settings import SettingCodes
from harness.http2 import Http2Script
from harness.playbook import Pipe, play
from hyperframe.frame import DataFrame

from enforcer.tokens.purge import Purge

NO_ERROR, PROTOCOL_ERROR, CANCEL = 0, 1, 8
GOOD = ("authorization", "Bearer good-token")
NOBODY = [{"name": "all", "path": "/**", "scopes": ["never"]}]
EXPIRES_AT = 4_000_000_000


class Script(Http2Script):
    """A connection on which a client asks for WebSockets."""

    async def ask(self, path: str = "/public/socket", *fields: tuple[str, str], **names: str) -> int:
        """Send a request for a tunnel; return the number of its stream."""
        await self.exchange()  # the setting has to come first
        number = self.client.connect(path, *fields, **names)
        await self.exchange()
        return number

    async def switch(self, first: bytes = b"", lines: bytes = b"") -> None:
        """Let the app switch protocols."""
        key = field(self.upstream.take(), b"Sec-WebSocket-Key")
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
        head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%b"
        accept = b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest)
        await self.respond(head % lines + accept + first)

    async def open(self, first: bytes = b"") -> int:
        """Open a tunnel without a token; return the number of its stream."""
        number = await self.ask()
        await self.switch(first)
        return number

    @property
    def upstream(self) -> Pipe:
        return self.playbook.upstream

    async def send(self, number: int, data: bytes, *, ends: bool = False) -> None:
        """Send bytes into a tunnel."""
        self.client.machine.send_data(number, data, end_stream=ends)
        await self.exchange()


def field(head: bytes, name: bytes) -> bytes:
    """Return the value of the only field with a name in an HTTP/1.1 head; empty if there is none."""
    values: list[bytes] = re.findall(rb"\r\n%b: ([^\r]*)" % name, head)
    assert len(values) <= 1
    return values[0] if values else b""


def test_a_request_for_a_websocket_is_one_of_http1() -> None:
    """With a key of ours, and the version; the response is 200, and the rest of its fields passes."""

    async def script() -> None:
        script = Script()
        number = await script.ask("/public/socket?a=b", ("sec-websocket-key", "theirs"), ("origin", "http://localhost"))
        assert script.client.machine.remote_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1
        head = script.upstream.written
        assert head.startswith(b"GET /public/socket?a=b HTTP/1.1\r\n")
        names = [b"Host", b"Upgrade", b"Connection", b"Sec-WebSocket-Version", b"origin"]
        assert [field(head, name) for name in names] == [
            *(b"localhost", b"websocket", b"Upgrade", b"13", b"http://localhost")
        ]
        assert len(base64.b64decode(field(head, b"Sec-WebSocket-Key"))) == 16
        assert b"theirs" not in head
        await script.switch(lines=b"Sec-WebSocket-Protocol: chat\r\n")
        assert script.client.heads[number] == {":status": "200", "sec-websocket-protocol": "chat"}
        assert script.playbook.telemetry.in_flight() == 0

    play(script())


def test_bytes_are_copied_both_ways() -> None:
    """As they come, beginning with those behind the heads; other streams of the connection go on."""

    async def script() -> None:
        script = Script()
        number = await script.ask()
        await script.send(number, b"early")
        assert not script.upstream.written.endswith(b"early")
        await script.switch(b"first")
        assert (script.upstream.take(), script.client.bodies) == (b"early", {number: b"first"})
        await script.send(number, b"ping")
        await script.respond(b"pong")
        assert (script.upstream.take(), script.client.bodies) == (b"ping", {number: b"firstpong"})
        other = script.client.request("GET", "/thing")
        await script.exchange()
        assert script.client.statuses == {number: 200, other: 401}

    play(script())


def test_early_bytes_are_held_up_to_the_window() -> None:
    """In few pieces, whatever the frames."""

    async def script() -> None:
        script = Script()
        number = await script.ask()
        for _ in range(1000):
            script.client.machine.send_data(number, b"a")
        await script.exchange()
        assert script.client.machine.local_flow_control_window(number) == 65_536 - 1000
        await script.switch()
        assert script.upstream.take() == b"a" * 1000

    play(script())


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBi\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_a_response_that_does_not_accept_the_websocket_never_looks_like_one(response: bytes) -> None:
    """RFC 8441 §4: any 2xx begins the tunnel."""

    async def script() -> None:
        script = Script()
        number = await script.ask()
        await script.respond(response)
        assert (script.client.statuses, script.client.resets) == ({number: 502}, {number: NO_ERROR})
        assert script.upstream.aborted
        assert script.client.goaway is None

    play(script())


def test_a_refusal_of_the_app_passes() -> None:
    """Its bytes do not come out of a tunnel, and the bytes of the client are dropped."""

    async def script() -> None:
        script = Script()
        number = await script.ask()
        await script.send(number, b"early")
        await script.respond(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        assert (script.client.statuses, script.client.bodies) == ({number: 403}, {number: b"no"})
        assert script.client.resets == {number: NO_ERROR}
        assert b"early" not in script.upstream.written

    play(script())


def test_the_request_is_authorized_as_any() -> None:
    """By its path and token, also if a subprotocol carries it, which the app does not see."""

    async def script() -> None:
        rule = {"name": "all", "path": "/**", "scopes": ["read"], "token_from": {"subprotocol": "token."}}
        script = Script(rules=[rule])
        assert script.client.statuses.get(await script.ask("/socket")) == 401
        offered = ("sec-websocket-protocol", "token.good-token, chat")
        number = await script.ask("/socket", offered)
        script.playbook.introspected({"active": True, "scope": "read", "sub": "alice", "exp": EXPIRES_AT})
        await script.exchange()
        head = script.upstream.written
        assert field(head, b"sec-websocket-protocol") == b"chat"
        assert b"good-token" not in head
        assert field(head, b"X-Auth-Subject") == b"alice"
        await script.switch(lines=b"Sec-WebSocket-Protocol: chat\r\n")
        assert script.client.heads[number]["sec-websocket-protocol"] == "chat"

    play(script())


@pytest.mark.parametrize(
    ("protocol", "fields", "upgrades", "status"),
    [
        ("connect-udp", (), ["websocket", "connect-udp"], 501),
        ("h2c", (), ["websocket"], 501),
        ("websocket", (), [], 501),
        ("WebSocket", (), ["websocket"], None),
    ],
)
def test_other_protocols_are_refused(
    protocol: str, fields: tuple[tuple[str, str], ...], upgrades: list[str], status: int | None
) -> None:
    """`forwarding.upgrades` permits WebSockets, and nothing else has this form."""

    async def script() -> None:
        script = Script(forwarding={"upgrades": upgrades})
        number = await script.ask("/public/socket", *fields, protocol=protocol)
        assert script.client.statuses.get(number) == status
        announced = script.client.machine.remote_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]
        assert announced == ("websocket" in upgrades)

    play(script())


def test_a_length_is_malformed() -> None:
    """A tunnel has no content (RFC 9110 §9.3.6), and the library would measure it."""

    async def script() -> None:
        script = Script()
        number = await script.ask("/public/socket", ("content-length", "3"))
        assert script.client.resets == {number: PROTOCOL_ERROR}

    play(script())


def test_a_client_sends_no_faster_than_the_app_takes() -> None:
    """It gets no credit while the app is full."""

    async def script() -> None:
        script = Script()
        number = await script.open()
        script.upstream.protocol.pause_writing()
        for _ in range(4):
            await script.send(number, b"a" * 16_384)
        assert script.client.machine.local_flow_control_window(number) == 0
        script.upstream.protocol.resume_writing()
        await script.exchange()
        assert script.client.machine.local_flow_control_window(number) == 65_536

    play(script())


def test_an_app_sends_no_faster_than_the_client_takes() -> None:
    """It is paused, without another deadline than that of an idle tunnel."""

    async def script() -> None:
        script = Script()
        number = await script.open()
        script.client.reads = False
        await script.respond(b"a" * 90_000)
        assert (len(script.client.bodies[number]), script.upstream.paused) == (65_535, True)
        script.session.sweep(script.playbook.ticker.next + 100, 0)
        script.client.machine.acknowledge_received_data(65_535, number)
        await script.exchange()
        assert (len(script.client.bodies[number]), script.upstream.paused) == (90_000, False)

    play(script())


def test_a_side_may_end_while_the_other_still_sends() -> None:
    """END_STREAM is the end of one direction, as FIN is (RFC 8441 §5)."""

    async def script() -> None:
        script = Script()
        number = await script.open()
        await script.send(number, b"last", ends=True)
        assert (script.upstream.take(), script.upstream.half_closed, script.client.ended) == (b"last", True, set())
        await script.respond(b"more")
        script.upstream.protocol.eof_received()
        script.upstream.protocol.connection_lost(None)
        await script.exchange()
        assert (script.client.bodies[number], script.client.ended) == (b"more", {number})
        assert not script.client.resets
        assert not script.session.busy

    play(script())


def test_an_app_may_end_first() -> None:
    """Its last bytes are delivered, and its connection closes with the client's side."""

    async def script() -> None:
        script = Script()
        number = await script.open()
        script.upstream.receive(b"last")
        assert script.upstream.protocol.eof_received()
        await script.exchange()
        assert (script.client.bodies[number], script.client.ended) == (b"last", {number})
        await script.send(number, b"bye", ends=True)
        assert (script.upstream.take(), script.upstream.closed) == (b"bye", True)
        script.upstream.protocol.connection_lost(None)
        assert not script.session.busy

    play(script())


def test_an_app_that_is_gone_ends_the_stream() -> None:
    """Behind what it sent; its place in the pool is free again."""

    async def script() -> None:
        script = Script()
        number = await script.open()
        script.upstream.receive(b"last")
        script.upstream.protocol.connection_lost(None)
        await script.exchange()
        assert (script.client.bodies[number], script.client.ended) == (b"last", {number})
        assert script.client.resets == {number: NO_ERROR}
        assert not script.session.busy

    play(script())


def test_a_client_may_end_before_the_tunnel_begins() -> None:
    """Its end comes behind what it has sent."""

    async def script() -> None:
        script = Script()
        number = await script.ask()
        await script.send(number, b"all", ends=True)
        await script.switch()
        assert (script.upstream.take(), script.upstream.half_closed) == (b"all", True)

    play(script())


def reset(script: Script, number: int) -> None:
    script.client.machine.reset_stream(number)


def trailers(script: Script, number: int) -> None:
    script.client.machine.send_headers(number, [("x", "y")], end_stream=True)


def leave(script: Script, number: int) -> None:
    script.session.eof_received()


CLIENT_ENDS: dict[str, Callable[[Script, int], None]] = {"RST_STREAM": reset, "trailers": trailers, "EOF": leave}


@pytest.mark.parametrize("name", CLIENT_ENDS)
def test_a_client_that_is_gone_ends_the_apps_connection(name: str) -> None:
    """At once. Trailers are malformed: a tunnel has only DATA (RFC 9113 §8.5)."""

    async def script() -> None:
        script = Script()
        number = await script.open()
        CLIENT_ENDS[name](script, number)
        await script.exchange()
        assert script.upstream.aborted
        script.upstream.protocol.connection_lost(None)
        assert not script.session.busy
        assert script.client.resets == ({number: PROTOCOL_ERROR} if name == "trailers" else {})

    play(script())


def test_a_tunnel_ends_if_it_is_idle() -> None:
    """After `timeouts.tunnel` without a byte in either direction; its connection goes on."""

    async def script() -> None:
        script = Script(timeouts={"tunnel": "60s"})
        number = await script.open()
        ticker = script.playbook.ticker
        for _ in range(2):
            ticker.next += 50
            await script.send(number, b"ping")
            script.session.sweep(ticker.next, 0)
        ticker.next += 59
        script.session.sweep(ticker.next, 0)
        assert not script.upstream.aborted
        ticker.next += 2
        script.session.sweep(ticker.next, 0)
        await script.exchange()
        assert (script.upstream.aborted, script.client.resets) == (True, {number: CANCEL})
        assert script.client.goaway is None

    play(script())


async def opened_with_token(script: Script) -> int:
    """Open a tunnel with a token; return the number of its stream."""
    number = await script.ask("/socket", GOOD)
    script.playbook.introspected({"active": True, "scope": "read", "sub": "alice", "exp": EXPIRES_AT})
    await script.exchange()
    await script.switch()
    return number


@pytest.mark.parametrize("end", ["expiry", "purge", "reload"])
def test_a_tunnel_ends_with_its_token_or_its_permit(end: str) -> None:
    """As one of an HTTP/1.1 connection does."""

    async def script() -> None:
        script = Script()
        number = await opened_with_token(script)
        registry, now = script.playbook.registry, script.playbook.ticker.next
        if end == "expiry":
            script.session.sweep(now, EXPIRES_AT - 1)
            assert not script.upstream.aborted
            script.session.sweep(now, EXPIRES_AT + 1)
        elif end == "purge":
            list(registry.revoke(Purge("subject", "bob")))
            assert not script.upstream.aborted
            list(registry.revoke(Purge("subject", "alice")))
        else:
            await registry.swap(script.playbook.snapshot())
            assert not script.upstream.aborted
            await registry.swap(script.playbook.snapshot(rules=NOBODY))
        await script.exchange()
        assert (script.upstream.aborted, script.client.resets) == (True, {number: CANCEL})

    play(script())


def test_a_purge_during_the_handshake_ends_the_tunnel_at_once() -> None:
    """The app has switched by then, so that the client sees the beginning."""

    async def script() -> None:
        script = Script()
        number = await script.ask("/socket", GOOD)
        script.playbook.introspected({"active": True, "scope": "read", "sub": "alice", "exp": EXPIRES_AT})
        await script.exchange()
        list(script.playbook.registry.revoke(Purge("subject", "alice")))
        await script.switch(b"first")
        assert (script.upstream.aborted, script.client.resets) == (True, {number: CANCEL})

    play(script())


def test_a_tunnel_has_a_place_among_the_streams_of_the_app() -> None:
    """`upstream.streams.connections` limits tunnels, whichever protocol the client speaks."""

    async def script() -> None:
        script = Script(upstream={"url": "http://127.0.0.1:1", "streams": {"connections": 1}})
        first = await script.open()
        second = await script.open()
        assert script.client.statuses == {first: 200, second: 503}
        script.client.machine.reset_stream(first)
        await script.exchange()
        script.playbook.upstreams[0].protocol.connection_lost(None)
        assert script.client.statuses[await script.open()] == 200

    play(script())


def test_a_shutdown_leaves_a_tunnel_its_time() -> None:
    """The connection takes no more requests, and ends with the last tunnel."""

    async def script() -> None:
        script = Script()
        number = await script.open()
        script.session.shutdown()
        script.pipe.receive(DataFrame(number, b"ping").serialize())
        await script.playbook.settle()
        assert (script.upstream.take(), script.pipe.closed) == (b"ping", False)
        script.upstream.protocol.connection_lost(None)
        assert script.pipe.closed

    play(script())


def test_memory_counts_what_neither_side_has_read() -> None:
    """Of the app's side, too."""

    async def script() -> None:
        script = Script()
        await script.open()
        before: Any = script.session.memory
        script.upstream.buffered = 10_000
        assert script.session.memory == before + 10_000

    play(script())
