"""One client beside another: what the first one holds is bounded by its share, and the second one is served."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from harness.configs import authorization_server
from harness.playbook import Pipe, Playbook, play

from enforcer.proxy.connection import ClientConnection
from enforcer.share_report import SharedTable
from enforcer.telemetry import Telemetry

ONE, OTHER, THIRD = "192.0.2.1", "198.51.100.7", "203.0.113.9"
BEGUN = b"GET /begun"
GET = b"GET /public/thing HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
WITH_TOKEN = b"GET /thing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n"
UPLOAD = b"POST /public/thing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
UPGRADE = GET % b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Clients:
    """A data plane, and its clients by address."""

    def __init__(self, **changes: Any) -> None:
        self.playbook = Playbook(**changes)

    async def connect(self, address: str = ONE, request: bytes = b"") -> Pipe:
        """Open a connection from an address, and send a request on it."""
        connection = ClientConnection(self.playbook.registry)
        pipe = Pipe(connection, address=address)
        connection.connection_made(pipe)
        if request and connection in self.playbook.registry.connections:
            await self.send(pipe, request)
        return pipe

    async def send(self, pipe: Pipe, request: bytes) -> None:
        """Send a request on an open connection."""
        pipe.receive(request)
        await self.playbook.settle()

    async def respond(self, number: int, data: bytes = OK) -> None:
        """Let the connection to the upstream with this number respond."""
        self.playbook.upstreams[number].receive(data)
        await self.playbook.settle()

    @property
    def arrived(self) -> int:
        """The number of requests that the upstream has got."""
        return sum(len(re.findall(rb"HTTP/1.1\r\n", pipe.written)) for pipe in self.playbook.upstreams)

    def held_back(self, table: SharedTable) -> int:
        """Return how often a share kept a client from a place in a table."""
        return self.playbook.telemetry.shares[table].count


def status(pipe: Pipe) -> bytes:
    """Return the status of a response; empty if there is none yet."""
    return pipe.written[9:12]


def pool(connections: int, queue: int = 100) -> dict[str, int]:
    """Return the settings of a small pool."""
    return {"connections": connections, "queue": queue}


HALF = {"client_share": "50%"}


def test_one_client_does_not_hold_all_connections(caplog: pytest.LogCaptureFixture) -> None:
    """Those over its share are answered 503. The log names the table and the client, once a minute."""

    async def script() -> None:
        clients = Clients(limits={"connections": 8, **HALF})
        own = [await clients.connect(ONE, BEGUN) for _ in range(7)]
        assert [status(pipe) for pipe in own] == [b""] * 4 + [b"503"] * 3
        other = [await clients.connect(OTHER, BEGUN) for _ in range(3)]
        assert [status(pipe) for pipe in other] == [b""] * 2 + [b"503"]
        assert status(await clients.connect(THIRD)) == b""
        assert clients.held_back(SharedTable.CONNECTIONS) == 4
        for pipe in own[:2]:
            pipe.protocol.connection_lost(None)
        assert status(await clients.connect()) == b""

    with caplog.at_level(logging.WARNING, "enforcer.shares"):
        play(script())
    assert caplog.messages == [
        f"client {ONE} has its share of connections (limits.client_share); cases since the last such line: 1"
    ]


def test_a_client_over_its_share_loses_its_own_idle_connections() -> None:
    """The oldest ones, for its new ones; those with a request and those of other clients stay."""

    async def script() -> None:
        clients = Clients(limits={"connections": 8, **HALF})
        other = await clients.connect(OTHER)
        busy = await clients.connect(ONE, BEGUN)
        idle = [await clients.connect(ONE) for _ in range(2)]
        new = [await clients.connect(ONE) for _ in range(3)]
        assert [pipe.closed for pipe in (other, busy, *idle, *new)] == [False, False, True, True, False, False, False]
        assert len(clients.playbook.registry.connections) == 5
        assert [status(pipe) for pipe in new] == [b""] * 3
        await clients.send(new[0], GET % b"")
        assert clients.arrived == 1
        for pipe in (*idle, busy, *new, other):
            pipe.protocol.connection_lost(None)
        assert clients.playbook.telemetry.connection_memory() == len(clients.playbook.registry.connections) == 0

    play(script())


def test_connections_for_which_there_is_no_memory_are_refused() -> None:
    """And those of a client that needs more than its share are cut; idle ones make room."""

    async def script() -> None:
        clients = Clients(limits={"connection_memory": "64KiB", **HALF})
        begun = [await clients.connect(ONE, BEGUN) for _ in range(9)]
        assert [status(pipe) for pipe in begun] == [b""] * 8 + [b"503"]
        other = await clients.connect(OTHER, BEGUN)
        assert status(other) == b""
        begun[0].buffered = other.buffered = 8192
        for pipe in (begun[0], other):
            pipe.protocol.pause_writing()
        assert (begun[0].aborted, other.aborted) == (True, False)
        assert clients.held_back(SharedTable.MEMORY) == 2

    play(script())


def test_an_ipv6_network_is_one_client() -> None:
    """A client with a /64 has as many addresses as it wants."""

    async def script() -> None:
        clients = Clients(limits={"connections": 8, **HALF})
        pipes = [await clients.connect(f"2001:db8::{number}", BEGUN) for number in range(1, 7)]
        assert [status(pipe) for pipe in pipes] == [b""] * 4 + [b"503"] * 2
        assert status(await clients.connect("2001:db8:0:1::1")) == b""

    play(script())


def test_a_trusted_proxy_may_hold_all_connections() -> None:
    """It speaks for many clients."""

    async def script() -> None:
        clients = Clients(limits={"connections": 4, **HALF}, forwarding={"trusted_proxies": [ONE]})
        assert [status(await clients.connect()) for _ in range(5)] == [b""] * 4 + [b"503"]
        assert clients.held_back(SharedTable.CONNECTIONS) == 0

    play(script())


def test_one_client_does_not_hold_the_time_for_refused_connections() -> None:
    """Few refused connections are left time to read their refusal, and each client has a share of those too."""

    async def script() -> None:
        clients = Clients(limits={"connections": 1, "client_share": "75%"})
        refused = [await clients.connect(ONE, BEGUN) for _ in range(1 + 97)][1:]
        assert [pipe.closed for pipe in refused] == [False] * 96 + [True]
        assert not (await clients.connect(OTHER)).closed

    play(script())


def test_slow_uploads_of_one_client_leave_connections_to_the_upstream() -> None:
    """Its requests over the share wait in its own line until its own others end; other requests pass."""

    async def script() -> None:
        clients = Clients(limits=HALF, upstream={"pool": pool(8)})
        uploads = [await clients.connect(ONE, UPLOAD) for _ in range(6)]
        assert clients.arrived == 4
        other = await clients.connect(OTHER, GET % b"")
        assert clients.arrived == 5
        await clients.respond(4)
        assert status(other) == b"200"
        await clients.send(uploads[0], b"0\r\n\r\n")
        await clients.respond(0)
        assert clients.arrived == 6
        assert clients.held_back(SharedTable.UPSTREAM) == 2

    play(script())


def test_a_share_counts_the_clients_behind_a_trusted_proxy() -> None:
    """By the address that the proxy names."""

    async def script() -> None:
        clients = Clients(limits=HALF, upstream={"pool": pool(8)}, forwarding={"trusted_proxies": ["10.0.0.1"]})
        slow = UPLOAD.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n", 1)
        for _ in range(6):
            await clients.connect("10.0.0.1", slow % 1)
        assert clients.arrived == 4
        await clients.connect("10.0.0.1", slow % 2)
        assert clients.arrived == 5

    play(script())


def test_one_client_does_not_fill_the_queue() -> None:
    """Its requests over the share of the queue are answered 503; other requests wait, and are served in turn."""

    async def script() -> None:
        clients = Clients(limits=HALF, upstream={"pool": pool(1, 4)})
        own = [await clients.connect(ONE, GET % b"") for _ in range(4)]
        assert [status(pipe) for pipe in own] == [b""] * 3 + [b"503"]
        other = await clients.connect(OTHER, GET % b"")
        assert (status(other), clients.arrived) == (b"", 1)
        await clients.respond(0)
        await clients.respond(0)
        await clients.respond(0)
        assert [status(pipe) for pipe in (*own, other)] == [b"200", b"200", b"", b"503", b"200"]
        assert clients.held_back(SharedTable.UPSTREAM) == 1

    play(script())


def test_unseen_tokens_of_one_client_leave_connections_to_the_authorization_server() -> None:
    """Each is introspected on a connection of its own; those over the share wait in the client's line."""

    async def script() -> None:
        server = {"pool": pool(4), "breaker": {"unproven": 100}}
        clients = Clients(limits=HALF, authorization_servers=[authorization_server(2, **server)])
        asked = clients.playbook.authorization_servers
        for number in range(4):
            await clients.connect(ONE, WITH_TOKEN % b"unseen-%d" % number)
        assert len(asked) == 2
        other = await clients.connect(OTHER, WITH_TOKEN % b"good-token")
        assert len(asked) == 3
        clients.playbook.introspected({"active": True, "scope": "read", "sub": "alice", "exp": 4_000_000_000})
        await clients.playbook.settle()
        await clients.respond(0)
        assert status(other) == b"200"
        assert clients.held_back(SharedTable.INTROSPECTION) == 2

    play(script())


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"


@pytest.mark.parametrize(("request_", "response"), [(GET % b"", EVENTS), (UPGRADE, SWITCHING)])
def test_streams_do_not_keep_short_requests_waiting(request_: bytes, response: bytes) -> None:
    """Event streams and tunnels have places of their own, until they end; one more is refused."""

    async def script() -> None:
        upstream = {"pool": pool(2), "streams": {"connections": 4}}
        clients = Clients(limits={"client_share": "100%"}, upstream=upstream)
        streams = []
        for number in range(5):
            streams.append(await clients.connect(ONE, request_))
            await clients.respond(number, response)
        assert [status(pipe) for pipe in streams] == [response[9:12]] * 4 + [b"503"]
        assert clients.playbook.upstreams[4].aborted
        metrics = clients.playbook.telemetry.upstream("127.0.0.1:1")
        assert (metrics.streams(), dict(metrics.errors)) == (4, {"streams": 1})
        short = await clients.connect(ONE, GET % b"")
        await clients.respond(5)
        assert status(short) == b"200"
        for end in (streams[0], clients.playbook.upstreams[0]):
            end.protocol.connection_lost(None)
        assert metrics.streams() == 3
        await clients.connect(ONE, request_)
        assert metrics.streams() == 3
        await clients.respond(5, response)
        assert metrics.streams() == 4

    play(script())


def test_one_client_does_not_hold_all_streams(caplog: pytest.LogCaptureFixture) -> None:
    """The metric and the log name the table, and the log names the setting."""

    async def script() -> None:
        clients = Clients(limits=HALF, upstream={"streams": {"connections": 8}})
        for number in range(5):
            pipe = await clients.connect(ONE, GET % b"")
            await clients.respond(number, EVENTS)
        assert status(pipe) == b"503"
        assert clients.held_back(SharedTable.STREAMS) == 1
        pipe = await clients.connect(OTHER, GET % b"")
        await clients.respond(5, EVENTS)
        assert status(pipe) == b"200"

    with caplog.at_level(logging.WARNING):
        play(script())
    assert caplog.messages == [
        f"client {ONE} has its share of upstream_streams (limits.client_share); cases since the last such line: 1",
        "upstream 127.0.0.1:1: streams: there is no room for another one (streams.connections)",
    ]


def test_a_tunnel_holds_its_place_until_it_ends() -> None:
    """One of its client's connections, and one of the streams to the upstream."""

    async def script() -> None:
        clients = Clients(limits={"connections": 8, **HALF}, upstream={"streams": {"connections": 2}})
        tunnels = []
        for number in range(2):
            tunnels.append(await clients.connect(ONE, UPGRADE))
            await clients.respond(number, SWITCHING)
        assert [status(pipe) for pipe in tunnels] == [b"101", b"503"]
        for end in (tunnels[0], clients.playbook.upstreams[0]):
            end.protocol.connection_lost(None)
        tunnels.append(await clients.connect(ONE, UPGRADE))
        await clients.respond(2, SWITCHING)
        assert status(tunnels[2]) == b"101"

    play(script())


def test_a_client_that_leaves_gives_its_places_back() -> None:
    """Also while it waits."""

    async def script() -> None:
        clients = Clients(limits=HALF, upstream={"pool": pool(2, 2)})
        own = [await clients.connect(ONE, UPLOAD) for _ in range(2)]
        assert clients.arrived == 1
        own[1].protocol.connection_lost(None)
        own[0].protocol.connection_lost(None)
        await clients.connect(ONE, UPLOAD)
        assert clients.arrived == 2

    play(script())


def test_a_reload_changes_the_shares() -> None:
    """Connections that are over the new share stay."""

    async def script() -> None:
        clients = Clients(limits={"connections": 8, **HALF})
        for _ in range(4):
            await clients.connect(ONE, BEGUN)
        await clients.playbook.registry.swap(
            clients.playbook.snapshot(limits={"connections": 8, "client_share": "100%"})
        )
        assert [status(await clients.connect(ONE, BEGUN)) for _ in range(5)] == [b""] * 4 + [b"503"]

    play(script())


def test_the_metric_names_every_table() -> None:
    """Before the first case too, so that an alert on its rate sees it."""
    exposition = Telemetry("1").exposition().decode()
    for table in SharedTable:
        assert f'enforcer_share_exceeded_total{{table="{table}"}} 0.0' in exposition
