"""Tunnels: bytes go both ways, and the ends end together."""

from __future__ import annotations

from typing import Any

import pytest
from harness.playbook import Pipe, Playbook, play

from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.tunnels.tunnel import Tunnel
from enforcer.tokens.purge import Purge

ASK = b"GET /public/socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
NOBODY = [{"name": "all", "path": "/**", "scopes": ["never"]}]


class Script:
    """A tunnel between a client and an upstream."""

    def __init__(self, **changes: Any) -> None:
        self.playbook = Playbook(**changes)

    async def open(self, behind_request: bytes = b"", behind_response: bytes = b"") -> None:
        """Upgrade a connection; either side may have sent bytes behind its head."""
        connection = ClientConnection(self.playbook.registry)
        self.client = Pipe(connection)
        connection.connection_made(self.client)
        self.client.receive(ASK + behind_request)
        await self.playbook.settle()
        self.upstream = self.playbook.upstream
        self.upstream.take()
        self.upstream.receive(SWITCHING + behind_response)
        assert self.client.take().startswith(b"HTTP/1.1 101 ") or behind_response
        (self.tunnel,) = self.playbook.registry.connections
        assert isinstance(self.tunnel, Tunnel)

    def both_aborted(self) -> bool:
        """Return whether both ends were cut off."""
        return self.client.aborted and self.upstream.aborted


def test_bytes_are_copied_both_ways() -> None:
    """As they come, beginning with those behind the heads."""

    async def script() -> None:
        script = Script()
        await script.open(b"early", b"first")
        assert script.upstream.take() == b"early"
        assert script.client.written.endswith(b"\r\n\r\nfirst") or script.client.written == b""
        script.client.take()
        script.client.receive(b"ping")
        script.upstream.receive(b"pong")
        assert (script.upstream.take(), script.client.take()) == (b"ping", b"pong")

    play(script())


def test_a_full_end_pauses_the_other() -> None:
    """No side is read faster than the other takes."""

    async def script() -> None:
        script = Script()
        await script.open()
        for end, other in ((script.client, script.upstream), (script.upstream, script.client)):
            end.protocol.pause_writing()
            assert other.paused
            end.protocol.resume_writing()
            assert not other.paused

    play(script())


def test_a_side_that_has_sent_everything_may_still_receive() -> None:
    """Its end of input is passed on; the second one ends the tunnel."""

    async def script() -> None:
        script = Script()
        await script.open()
        assert script.client.protocol.eof_received() is True
        assert script.upstream.half_closed
        script.upstream.receive(b"late")
        assert script.client.take() == b"late"
        assert script.upstream.protocol.eof_received() is False

    play(script())


def test_the_end_of_one_side_is_the_end_of_the_other() -> None:
    """The registry and the pool forget the tunnel after the second."""

    async def script() -> None:
        script = Script()
        await script.open()
        script.client.protocol.connection_lost(None)
        assert script.upstream.closed
        assert not script.upstream.aborted
        assert script.playbook.registry.connections == {script.tunnel}
        script.upstream.protocol.connection_lost(None)
        assert script.playbook.registry.connections == set()

    play(script())


def test_a_tunnel_without_bytes_is_ended() -> None:
    """`timeouts.tunnel` after the last byte in either direction."""

    async def script() -> None:
        script = Script(timeouts={"tunnel": "10s"})
        await script.open()
        now = script.playbook.ticker.next
        script.tunnel.sweep(now + 9, 0.0)
        script.upstream.receive(b"x")
        script.tunnel.sweep(now + 11, 0.0)
        script.tunnel.sweep(now + 20, 0.0)
        assert not script.both_aborted()
        script.tunnel.sweep(now + 21, 0.0)
        assert script.both_aborted()

    play(script())


@pytest.mark.parametrize("denied", [True, False])
def test_a_newer_snapshot_that_denies_a_tunnel_ends_it(denied: bool) -> None:
    """A snapshot that allows it lets it continue."""

    async def script() -> None:
        script = Script()
        await script.open()
        script.playbook.registry.snapshot = script.playbook.snapshot(**({"rules": NOBODY} if denied else {}))
        assert script.tunnel.renew()
        assert script.both_aborted() == denied

    play(script())


@pytest.mark.parametrize("before", [True, False])
def test_a_purge_of_its_token_ends_a_tunnel(before: bool) -> None:
    """A purge of another token lets it continue. It may come before the upgrade."""

    async def script() -> None:
        script = Script(rules=[{"name": "all", "path": "/**", "authenticated": True}])
        registry = script.playbook.registry
        connection = ClientConnection(registry)
        client = Pipe(connection)
        connection.connection_made(client)
        client.receive(ASK[:-2] + b"Authorization: Bearer token\r\n\r\n")
        await script.playbook.settle()
        script.playbook.introspected({"active": True, "sub": "alice"})
        await script.playbook.settle()
        list(registry.revoke(Purge("subject", "bob")))
        if before:
            list(registry.revoke(Purge("token", "token")))
        script.playbook.upstream.receive(SWITCHING)
        assert client.aborted == before
        list(registry.revoke(Purge("token", "token")))
        assert client.aborted

    play(script())


def test_a_drain_and_a_shutdown_let_a_tunnel_go_on() -> None:
    """There is no response that could announce the end; it is cut when the time is over."""

    async def script() -> None:
        script = Script()
        await script.open()
        script.tunnel.drain()
        script.tunnel.shutdown()
        assert not script.tunnel.busy
        assert not script.both_aborted()
        script.tunnel.abort()
        assert script.both_aborted()

    play(script())


def test_a_tunnel_ends_when_its_token_expires() -> None:
    """At the token's `exp`, however busy it is."""

    async def script() -> None:
        script = Script(rules=[{"name": "all", "path": "/**", "authenticated": True}])
        connection = ClientConnection(script.playbook.registry)
        client = Pipe(connection)
        connection.connection_made(client)
        client.receive(ASK[:-2] + b"Authorization: Bearer token\r\n\r\n")
        await script.playbook.settle()
        script.playbook.introspected({"active": True, "exp": 4_000_000_000})
        await script.playbook.settle()
        script.playbook.upstream.receive(SWITCHING)
        (tunnel,) = script.playbook.registry.connections
        tunnel.sweep(0.0, 3_999_999_999.0)
        assert not client.aborted
        tunnel.sweep(0.0, 4_000_000_000.0)
        assert client.aborted

    play(script())


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        ({}, {"mode": "report"}, False),
        ({"mode": "report"}, {}, True),
        ({"forwarding": {"end_with_token": False}}, {}, True),
        ({}, {"forwarding": {"end_with_token": False}}, False),
    ],
)
def test_a_reload_decides_whether_a_tunnel_may_outlast_its_token(
    before: dict[str, Any], after: dict[str, Any], ends: bool
) -> None:
    """As it decides everything else about it: a tunnel of the time in report mode would live on without a token."""
    everybody = [{"name": "all", "path": "/**", "authenticated": True}]

    async def script() -> None:
        script = Script(rules=everybody, **before)
        connection = ClientConnection(script.playbook.registry)
        client = Pipe(connection)
        connection.connection_made(client)
        client.receive(ASK[:-2] + b"Authorization: Bearer token\r\n\r\n")
        await script.playbook.settle()
        script.playbook.introspected({"active": True, "exp": 4_000_000_000})
        await script.playbook.settle()
        script.playbook.upstream.receive(SWITCHING)
        (tunnel,) = script.playbook.registry.connections
        script.playbook.registry.snapshot = script.playbook.snapshot(rules=everybody, **after)
        assert tunnel.renew()
        tunnel.sweep(0.0, 4_000_000_000.0)
        assert client.aborted is ends

    play(script())


def test_a_large_read_lets_the_others_have_a_turn() -> None:
    """And no more is read if the other end is full by then."""

    async def script() -> None:
        script = Script()
        await script.open()
        for end, other in ((script.client, script.upstream), (script.upstream, script.client)):
            end.receive(b"x" * 65536)
            paused = [end.paused]
            await script.playbook.settle()
            paused.append(end.paused)
            end.receive(b"x" * 65536)
            other.protocol.pause_writing()
            await script.playbook.settle()
            paused.append(end.paused)
            other.protocol.resume_writing()
            assert [*paused, end.paused] == [True, False, True, False]
            assert len(other.take()) == 2 * 65536

    play(script())
