"""The states of an exchange, as scripts of events: every transition in the table is driven, and no other one exists."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness.dataplane import DataPlane
from harness.http2_server import Http2Server
from harness.playbook import Pipe, Playbook, head, play

from enforcer.policy.matcher import choose
from enforcer.proxy.exchange import Exchange
from enforcer.proxy.grant import Grant
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.response_writer import Http1Writer
from enforcer.proxy.peer import Peer
from enforcer.proxy.snapshot import Snapshot
from enforcer.proxy.states.exchange_state import TRANSITIONS, ExchangeState
from enforcer.tokens.purge import Purge
from enforcer.wire.carrier import UpgradedConnection

QUEUED, WAIT_VERIFICATION, WAIT_CONNECTION, SENDING, RESPONDING, DONE = ExchangeState

TOKEN = (b"Authorization", b"Bearer good-token")
CHUNKED = (b"Transfer-Encoding", b"chunked")
UPGRADE = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
ACTIVE = {"active": True, "scope": "read", "sub": "alice", "exp": 4_000_000_000}
GET = head(b"GET", b"/public/thing")
POST = head(b"POST", b"/public/thing", CHUNKED)
WITH_TOKEN = head(b"GET", b"/thing", TOKEN)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
NOBODY = [{"name": "all", "path": "/**", "scopes": ["never"]}]


class Client:
    """The client connection of an exchange, as the exchange declares it."""

    def __init__(self) -> None:
        self.pipe = Pipe()
        self.writer = Http1Writer(self.pipe)
        self.closing = False
        self.has_queued = False
        self.ended: list[Exchange] = []
        self.tunnels: list[tuple[bytes, Grant]] = []
        self.aborted = False

    def on_exchange_end(self, exchange: Exchange) -> None:
        self.ended.append(exchange)

    def update_flow_control(self) -> None:
        pass

    def start_body_deadline(self) -> None:
        pass

    def become_tunnel(self, upstream: UpgradedConnection, first: bytes, grant: Grant, snapshot: Snapshot) -> None:
        self.tunnels.append((first, grant))

    def abort(self) -> None:
        self.aborted = True


class Script:
    """An exchange, and the events of all sides."""

    def __init__(self, request: RequestHead, **changes: Any) -> None:
        self.playbook = Playbook(**changes)
        registry = self.playbook.registry
        self.client = Client()
        peer = Peer(self.client.pipe, registry.snapshot.forwarding)
        self.exchange = Exchange(self.client, self.client.writer, registry, peer, request, registry.snapshot)

    @property
    def written(self) -> bytes:
        """The bytes that the client has received."""
        return self.client.pipe.written

    @property
    def status(self) -> bytes:
        """The status of the response that the client has got, empty if it got none."""
        return self.written[9:12]

    async def another(self, response: bytes) -> Exchange:
        """Have another exchange get a response on a new connection to the upstream."""
        registry = self.playbook.registry
        client = Client()
        other = Exchange(
            client, client.writer, registry, Peer(client.pipe, registry.snapshot.forwarding), GET, registry.snapshot
        )
        other.begin()
        await self.playbook.settle()
        self.playbook.upstream.receive(response)
        return other

    async def idle_connection(self) -> None:
        """Have another exchange leave a connection to the upstream."""
        other = await self.another(OK + b"ok")
        self.playbook.upstream.take()
        assert other.state is DONE

    async def on(self, event: str) -> None:
        """Let an event happen."""
        playbook, exchange = self.playbook, self.exchange
        if event == "begin":
            exchange.begin()
        elif event == "verified":
            await playbook.settle()
            playbook.introspected(ACTIVE)
        elif event == "verified: inactive":
            await playbook.settle()
            playbook.introspected({"active": False})
        elif event == "connected":
            await playbook.settle()
        elif event == "response head":
            playbook.upstream.receive(OK)
        elif event == "response head: one stream too many":
            own = playbook.upstream
            await self.another(EVENTS)
            own.receive(EVENTS)
        elif event == "response end":
            playbook.upstream.receive(b"ok")
        elif event == "upgraded":
            playbook.upstream.receive(
                b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst"
            )
        elif event == "upstream failed":
            if playbook.upstreams and not playbook.upstream.aborted:
                playbook.upstream.protocol.connection_lost(None)
            else:
                playbook.reachable = False
                await playbook.settle()
        elif event == "unreadable body":
            exchange.on_unreadable(responses.TOO_LARGE)
        elif event == "client stalled":
            exchange.on_client_stalled()
        elif event == "client gone":
            exchange.on_client_gone()
        elif event == "token expired":
            exchange.end_if_not_valid(5e9)
        elif event == "purged":
            exchange.revoke(Purge("subject", "alice"))
            exchange.end_if_not_valid(0.0)
        else:
            assert event == "denied by reload"
            playbook.registry.snapshot = playbook.snapshot(rules=NOBODY)
            assert exchange.renew()


Step = tuple[str, ExchangeState]
TO_VERIFICATION: list[Step] = [("begin", WAIT_VERIFICATION)]
TO_CONNECTION: list[Step] = [("begin", WAIT_CONNECTION)]
TO_SENDING: list[Step] = [*TO_CONNECTION, ("connected", SENDING)]
TO_RESPONDING: list[Step] = [*TO_SENDING, ("response head", RESPONDING)]

SCRIPTS: dict[str, tuple[RequestHead, bool, list[Step], bytes]] = {
    # request, whether a connection is idle, steps, status that the client gets
    "public": (GET, False, [*TO_RESPONDING, ("response end", DONE)], b"200"),
    "public, idle connection": (GET, True, [("begin", SENDING), ("response head", RESPONDING)], b"200"),
    "no token": (head(b"GET", b"/thing"), False, [("begin", DONE)], b"401"),
    "unseen token": (
        WITH_TOKEN,
        False,
        [*TO_VERIFICATION, ("verified", WAIT_CONNECTION), ("connected", SENDING), ("response head", RESPONDING)],
        b"200",
    ),
    "unseen token, idle connection": (WITH_TOKEN, True, [*TO_VERIFICATION, ("verified", SENDING)], b""),
    "inactive token": (WITH_TOKEN, False, [*TO_VERIFICATION, ("verified: inactive", DONE)], b"401"),
    "upgrade": (head(b"GET", b"/public/socket", *UPGRADE), False, [*TO_SENDING, ("upgraded", DONE)], b"101"),
    "one stream too many": (GET, False, [*TO_SENDING, ("response head: one stream too many", DONE)], b"503"),
    "unreachable": (GET, False, [*TO_CONNECTION, ("upstream failed", DONE)], b"502"),
    "no response": (GET, False, [*TO_SENDING, ("upstream failed", DONE)], b"502"),
    "no response on a used connection": (
        GET,
        True,
        [("begin", SENDING), ("upstream failed", WAIT_CONNECTION), ("connected", SENDING)],
        b"",
    ),
    "a response cut short": (GET, False, [*TO_RESPONDING, ("upstream failed", DONE)], b""),
    "expired while streaming": (
        WITH_TOKEN,
        True,
        [*TO_VERIFICATION, ("verified", SENDING), ("response head", RESPONDING), ("token expired", DONE)],
        b"",
    ),
    "purged while streaming": (
        WITH_TOKEN,
        True,
        [*TO_VERIFICATION, ("verified", SENDING), ("response head", RESPONDING), ("purged", DONE)],
        b"",
    ),
    "denied while uploading": (POST, False, [*TO_SENDING, ("denied by reload", DONE)], b"401"),
    "denied while streaming": (GET, False, [*TO_RESPONDING, ("denied by reload", DONE)], b""),
} | {
    f"{event} in {steps[-1][1].name}": (request, False, [*steps, (event, DONE)], status)
    for request, steps in ((WITH_TOKEN, TO_VERIFICATION), (GET, TO_CONNECTION), (GET, TO_SENDING), (GET, TO_RESPONDING))
    for event, status in (("unreadable body", b"413"), ("client stalled", b"408"), ("client gone", b""))
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_event_leads_to_its_state(name: str) -> None:
    """And the client gets the response that belongs to it; none if one has begun, which is then cut off."""
    request, idle, steps, status = SCRIPTS[name]

    async def script() -> None:
        script = Script(request, upstream={"streams": {"connections": 1}})
        if idle:
            await script.idle_connection()
        for event, state in steps:
            before = script.exchange.state
            await script.on(event)
            assert script.exchange.state is state, event
        last = steps[-1][0]
        if before is RESPONDING and last not in ("response end", "client gone"):
            assert script.client.aborted
        elif before is not RESPONDING or last == "response end":
            assert script.status == status
            assert script.client.ended == ([script.exchange] if state is DONE and last != "client gone" else [])

    play(script())


def test_every_transition_of_the_table_is_driven() -> None:
    """A state that no script reaches has no place in the table."""
    driven: set[tuple[ExchangeState, str, ExchangeState]] = set()
    for _, _, steps, _ in SCRIPTS.values():
        state = QUEUED
        for event, following in steps:
            driven.add((state, event.partition(":")[0], following))
            state = following
    table = {
        (state, event, to) for state, events in TRANSITIONS.items() for event, ends in events.items() for to in ends
    }
    assert table == driven


def test_a_request_is_forwarded_with_our_fields() -> None:
    """Identity and forwarding fields are set, the token passes, and the response goes back as it came."""

    async def script() -> None:
        script = Script(WITH_TOKEN)
        for event in ("begin", "verified", "connected"):
            await script.on(event)
        assert script.playbook.upstream.take() == (
            b"GET /thing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good-token\r\n"
            b"X-Forwarded-For: 192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n"
            b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: localhost\r\n"
            b"X-Auth-Subject: alice\r\nX-Auth-Scope: read\r\n\r\n"
        )
        script.playbook.upstream.receive(OK + b"ok")
        assert script.written == OK + b"ok"
        assert not script.exchange.closes

    play(script())


def test_a_body_waits_for_a_connection() -> None:
    """Its first piece is kept and no more is taken; then it is sent behind the head."""

    async def script() -> None:
        script = Script(POST)
        script.exchange.begin()
        script.exchange.on_request_body(b"first")
        blocked = [script.exchange.blocked]
        await script.playbook.settle()
        blocked.append(script.exchange.blocked)
        assert blocked == [True, False]
        script.exchange.on_request_body(b"next")
        script.exchange.on_request_end([])
        assert script.playbook.upstream.take().endswith(b"\r\n\r\n5\r\nfirst\r\n4\r\nnext\r\n0\r\n\r\n")
        assert script.exchange.request_complete

    play(script())


def test_a_repeated_body_is_complete() -> None:
    """A used connection closed before the response began: the body is sent again, with its end."""

    async def script() -> None:
        script = Script(head(b"PUT", b"/public/thing", CHUNKED))
        await script.idle_connection()
        script.exchange.begin()
        script.exchange.on_request_body(b"first")
        script.exchange.on_request_body(b"next")
        script.exchange.on_request_end([b"Name", b": ", b"value", b"\r\n"])
        await script.on("upstream failed")
        await script.on("connected")
        assert script.playbook.upstream.take().endswith(b"\r\n\r\n9\r\nfirstnext\r\n0\r\nName: value\r\n\r\n")

    play(script())


def test_a_full_upstream_blocks_the_body_and_a_full_client_pauses_the_upstream() -> None:
    """Each side goes no faster than the other takes."""

    async def script() -> None:
        script = Script(POST)
        await script.on("begin")
        await script.on("connected")
        upstream = script.playbook.upstream
        upstream.protocol.pause_writing()
        blocked = [script.exchange.blocked]
        upstream.protocol.resume_writing()
        assert [*blocked, script.exchange.blocked] == [True, False]
        script.exchange.on_client_full()
        paused = [upstream.paused]
        script.exchange.on_client_drained()
        assert [*paused, upstream.paused] == [True, False]

    play(script())


def test_a_body_that_is_expected_is_asked_for() -> None:
    """The upstream's 100 goes to the client, whose time runs from then on."""

    async def script() -> None:
        script = Script(head(b"POST", b"/public/thing", CHUNKED, (b"Expect", b"100-continue")))
        await script.on("begin")
        await script.on("connected")
        expected = [script.exchange.expects_continue]
        script.playbook.upstream.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert script.written == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert [*expected, script.exchange.expects_continue] == [True, False]
        assert script.exchange.state is SENDING

    play(script())


def test_a_body_that_is_too_large_is_refused_while_it_streams() -> None:
    """413, and the upstream's connection is ended."""

    async def script() -> None:
        script = Script(POST, limits={"body": "3B"})
        await script.on("begin")
        await script.on("connected")
        script.exchange.on_request_body(b"four")
        assert script.status == b"413"
        assert script.playbook.upstream.aborted
        assert script.exchange.closes

    play(script())


def test_a_response_before_the_request_is_whole_ends_the_connection() -> None:
    """RFC 9112 §9.6: the rest of the body is not read to make room for another request."""

    async def script() -> None:
        script = Script(POST)
        await script.on("begin")
        await script.on("connected")
        script.playbook.upstream.receive(OK + b"ok")
        assert b"Connection: close\r\n" in script.written
        assert script.exchange.closes

    play(script())


def test_a_verification_for_a_client_that_left_is_ignored() -> None:
    """Nothing is forwarded, decided or counted."""

    async def script() -> None:
        script = Script(WITH_TOKEN)
        for event in ("begin", "client gone", "verified"):
            await script.on(event)
        assert script.exchange.state is DONE
        assert script.playbook.upstreams == []
        assert script.written == b""

    play(script())


@pytest.mark.parametrize(("method", "body"), [(b"OPTIONS", b""), (b"TRACE", b"TRACE /public/thing HTTP/1.1\r\n")])
def test_the_last_hop_responds_itself(method: bytes, body: bytes) -> None:
    """RFC 9110 §7.6.2: with Max-Forwards: 0 nothing is forwarded."""

    async def script() -> None:
        script = Script(head(method, b"/public/thing", (b"Max-Forwards", b"0")))
        await script.on("begin")
        assert (script.exchange.state, script.status) == (DONE, b"200")
        assert script.written.partition(b"\r\n\r\n")[2].startswith(body)
        assert script.playbook.upstreams == []

    play(script())


def test_a_queued_exchange_takes_the_newest_snapshot() -> None:
    """It was not authorized yet; one that waits for its response keeps the one that it began with."""

    async def script() -> None:
        script = Script(GET)
        registry = script.playbook.registry
        registry.snapshot = script.playbook.snapshot(rules=NOBODY)
        assert script.exchange.renew()
        await script.on("begin")
        assert script.status == b"401"
        waiting = Script(GET)
        await waiting.on("begin")
        waiting.playbook.registry.snapshot = waiting.playbook.snapshot(rules=NOBODY)
        assert not waiting.exchange.renew()
        assert waiting.exchange.state is WAIT_CONNECTION

    play(script())


def test_a_queued_exchange_whose_head_was_read_by_other_settings_is_refused() -> None:
    """Removed rules do not apply to it, and new ones cannot forward it; the client may send it again."""

    async def script() -> None:
        script = Script(GET)
        registry = script.playbook.registry
        registry.snapshot = script.playbook.snapshot(forwarding={"identity": {"X-Other": "sub"}})
        assert script.exchange.renew()
        await script.on("begin")
        assert (script.status, script.exchange.closes) == (b"503", True)
        assert b"\r\nRetry-After: 1\r\n" in script.written

    play(script())


@pytest.mark.parametrize(
    ("purge", "cut"),
    [
        (Purge("token", "good-token"), True),
        (Purge("subject", "alice"), True),
        (Purge("client_id", "web"), True),
        (Purge("token", "good"), False),
        (Purge("subject", "bob"), False),
        (Purge("client_id", "alice"), False),
    ],
)
@pytest.mark.parametrize("moment", ["before verification", "before the response", "while streaming"])
def test_a_stream_of_a_purged_token_is_cut(purge: Purge, cut: bool, moment: str) -> None:
    """The purge may come while the token is verified, or before the response. Streams of other tokens go on."""

    async def script() -> None:
        script = Script(WITH_TOKEN)
        await script.on("begin")
        if moment == "before verification":
            script.exchange.revoke(purge)
        await script.playbook.settle()
        script.playbook.introspected({**ACTIVE, "client_id": "web"})
        await script.on("connected")
        if moment == "before the response":
            script.exchange.revoke(purge)
            script.exchange.end_if_not_valid(0.0)
            assert script.exchange.state is SENDING
        await script.on("response head")
        if moment == "while streaming":
            script.exchange.revoke(purge)
        script.exchange.end_if_not_valid(0.0)
        assert script.exchange.state is (DONE if cut else RESPONDING)
        assert script.client.aborted is script.playbook.upstream.aborted is cut

    play(script())


def test_a_tunnel_knows_of_the_purges_before_it() -> None:
    """Its token was verified before them."""

    async def script() -> None:
        script = Script(head(b"GET", b"/socket", TOKEN, *UPGRADE))
        await script.on("begin")
        await script.on("verified")
        await script.on("connected")
        script.exchange.revoke(Purge("token", "good-token"))
        await script.on("upgraded")
        ((_, grant),) = script.client.tunnels
        assert grant.has_ended(0.0, script.playbook.registry.snapshot)
        assert "good-token" not in repr(grant)

    play(script())


def test_an_internal_error_after_a_response_aborts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    """The next request on it would never be answered, so the connection must not stay open."""

    async def script() -> None:
        script = Script(WITH_TOKEN)

        def fail(exchange: Exchange) -> None:
            raise RuntimeError("broken")

        script.client.on_exchange_end = fail  # type: ignore[method-assign]
        await script.on("begin")
        await script.on("verified: inactive")
        assert (script.status, script.exchange.state, script.client.aborted) == (b"401", DONE, True)

    play(script())
    assert [record.getMessage() for record in caplog.records if record.name == "enforcer.proxy"] == ["internal error"]


def test_methods_that_clients_invent_are_counted_together() -> None:
    """Each would take memory, and add a time series. HTTP/2 lets every method through."""

    async def script() -> None:
        for method in (b"INVENTED", b"LIST", b"GETS"):
            script = Script(head(method, b"/nothing"))
            script.exchange.begin()
            _, methods = script.playbook.registry.snapshot.routes.locate(b"/nothing", b"localhost")
            assert methods is not None
            route = choose(methods, method)
            assert route is not None
            assert {key: count.value for key, count in route.metrics.requests.items()} == {(b"_OTHER", 401): 1}

    play(script())


async def start_http2(script: Script) -> Http2Server:
    """Let the newest connection to the upstream be one of HTTP/2, and the exchange use it."""
    await script.playbook.settle()
    server = Http2Server(script.playbook.upstream)
    server.start()
    await script.playbook.settle()
    server.read()
    return server


H2C = {"upstream": {"protocol": "h2c"}}
UNPROCESSED = {"REFUSED_STREAM": b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07", "GOAWAY": b"\0\0\x08\x07\0\0\0\0\0" + bytes(8)}


@pytest.mark.parametrize("name", UNPROCESSED)
def test_a_request_that_an_app_did_not_process_is_sent_again(name: str) -> None:
    """Once, on a new connection, with its body so far, and with any method (RFC 9113 §8.7)."""

    async def script() -> None:
        script = Script(POST, **H2C)
        script.exchange.begin()
        first = await start_http2(script)
        script.exchange.on_request_body(b"first")
        first.pipe.receive(UNPROCESSED[name])
        assert script.exchange.state is WAIT_CONNECTION
        second = await start_http2(script)
        script.exchange.on_request_body(b"next")
        script.exchange.on_request_end([])
        await script.playbook.settle()
        second.respond(1, b"ok")
        assert (second.bodies[1], second.ended) == (b"firstnext", {1})
        assert script.written.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n")
        assert (first.pipe is second.pipe, script.exchange.state) == (False, DONE)

    play(script())


def test_a_field_that_its_rule_reads_is_not_forwarded_as_a_trailer() -> None:
    """An app that joins the sections would read another value than the rule; in a queued request, too."""
    rules: list[dict[str, Any]] = [
        {"name": "tenant", "path": "/tenant", "scopes": ["read"], "headers": {"X-Tenant": "a"}},
        {"name": "token", "path": "/token", "scopes": ["read"], "token_from": {"header": "X-Token"}},
    ]
    start = b"Host: app\r\nTransfer-Encoding: chunked\r\n"
    end = b"\r\n0\r\nX-Tenant: b\r\nX_Tenant: b\r\nX-Token: b\r\nX-Sum: 1\r\n\r\n"
    tenant = b"POST /tenant HTTP/1.1\r\n" + start + b"Authorization: Bearer R\r\nX-Tenant: a\r\n" + end
    token = b"POST /token HTTP/1.1\r\n" + start + b"X-Token: R\r\n" + end

    async def script() -> None:
        plane = DataPlane(rules=rules)
        outcome = await plane.run([tenant + token, token + tenant], late=True)
        plane.close()
        assert outcome.faults == []
        of_tenant, of_token = (b"x-token", b"x-sum"), (b"x-tenant", b"x_tenant", b"x-sum")
        sent = [tuple(name.lower() for name, _ in request.trailers) for request in outcome.arrived]
        assert sent == [of_tenant, of_token, of_token, of_tenant]

    asyncio.run(script())


def test_a_request_with_a_large_body_is_not_sent_again() -> None:
    """Its beginning is no longer held; the client gets 502."""

    async def script() -> None:
        script = Script(POST, **H2C)
        script.exchange.begin()
        server = await start_http2(script)
        script.exchange.on_request_body(bytes(20_000))
        server.pipe.receive(UNPROCESSED["REFUSED_STREAM"])
        assert (script.status, script.exchange.state) == (b"502", DONE)

    play(script())


def test_a_client_that_leaves_resets_the_stream_of_its_app() -> None:
    """And not the connection, on which others go on."""

    async def script() -> None:
        script = Script(GET, **H2C)
        script.exchange.begin()
        server = await start_http2(script)
        script.exchange.on_client_gone()
        await script.playbook.settle()
        server.read()
        assert (server.resets, server.pipe.closed, server.pipe.aborted) == ({1: 8}, False, False)

    play(script())
