"""The states of a client connection's input, as scripts: bytes and events in, states and bytes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from harness.playbook import Pipe, Playbook, play

from enforcer.proxy.connection import TRANSITIONS, ClientConnection, ReadState

HEAD, BODY, UPGRADING, RESUMING, HOLDING, CLOSED = ReadState
TRANSIENT = (UPGRADING, RESUMING)

GET = b"GET /public/thing HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /public/thing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"Connection: close\r\n\r\n"
UPGRADE = b"GET /public/socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
UPGRADE_WITH_BODY = UPGRADE[:-2] + b"Content-Length: 5\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Script:
    """One client connection, and the servers behind it."""

    def __init__(self, **changes: Any) -> None:
        self.playbook = Playbook(**changes)
        self.connection = ClientConnection(self.playbook.registry)
        self.pipe = Pipe(self.connection)
        self.connection.connection_made(self.pipe)

    async def receive(self, data: bytes) -> None:
        """Let bytes arrive from the client."""
        self.pipe.receive(data)
        await self.playbook.settle()

    async def respond(self, data: bytes = OK) -> None:
        """Let bytes arrive from the upstream."""
        self.playbook.upstream.receive(data)
        await self.playbook.settle()

    async def end_input(self) -> None:
        """Let the client close its side."""
        self.connection.eof_received()

    async def respond_last(self) -> None:
        """Respond while the connection drains."""
        self.connection.drain()
        await self.respond()

    @property
    def statuses(self) -> list[bytes]:
        """The status codes of the responses that the client has got."""
        return re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", self.pipe.written)


Action = bytes | str
Step = tuple[str, Action, ReadState]
SCRIPTS: Mapping[str, tuple[list[Step], list[bytes]]] = {
    "a request without a body": ([("head", GET, HEAD)], []),
    "a body in pieces": ([("head", POST, BODY), ("", b"3\r\nabc\r\n", BODY), ("request end", b"0\r\n\r\n", HEAD)], []),
    "the last request": ([("head", POST[:-2] + LAST, BODY), ("request end", b"0\r\n\r\n", CLOSED)], []),
    "the last request, without a body": ([("head", GET[:-2] + LAST, CLOSED)], []),
    "a head that is not HTTP": ([("unreadable", b"\x00\x01\r\n", CLOSED)], [b"501"]),
    "a body that is not chunked": ([("head", POST, BODY), ("unreadable", b"nonsense\r\n", CLOSED)], [b"400"]),
    "more requests than may wait": ([("head", GET * 4, CLOSED)], []),
    "end of input before a request": ([("end of input", "end_input", CLOSED)], []),
    "end of input in a body": ([("head", POST, BODY), ("end of input", "end_input", CLOSED)], []),
    "end of input behind an upgrade": ([("head", UPGRADE, HOLDING), ("end of input", "end_input", CLOSED)], []),
    "the last response": ([("head", GET, HEAD), ("closing response", "respond_last", CLOSED)], [b"200"]),
    "a response before the body ends": ([("head", POST, BODY), ("closing response", "respond", CLOSED)], [b"200"]),
    "a refusal before the body ends": ([("head", POST.replace(b"/public", b""), CLOSED)], [b"401"]),
    "an upgrade that is not made": (
        [("head", UPGRADE + GET, HOLDING), ("", b"", HOLDING), ("exchange end", "respond", HEAD)],
        [b"200"],
    ),
    "an upgrade that is not made, and the end": (
        [("head", UPGRADE, HOLDING), ("closing response", "respond_last", CLOSED)],
        [b"200"],
    ),
    "an upgrade": ([("head", UPGRADE, HOLDING), ("upgrade", "switch", CLOSED)], [b"101"]),
    "an upgrade with a body is not one": (
        [("head", UPGRADE_WITH_BODY + b"ab", BODY), ("request end", b"cde", HEAD)],
        [],
    ),
    "an upgrade that is refused": ([("head", UPGRADE.replace(b"/public", b""), HEAD)], [b"401"]),
}


def reachable(state: ReadState, event: str) -> set[ReadState]:
    """Return the states that an event leads to, through those that last only within one read."""
    states = {*TRANSITIONS[state][event]}
    for transient in TRANSIENT:
        if transient in states:
            states |= {to for ends in TRANSITIONS[transient].values() for to in ends}
    if BODY in states and event == "head":
        states |= {*TRANSITIONS[BODY]["request end"]}  # a request without a body ends in the same read
    return states - {*TRANSIENT}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_event_leads_to_its_state(name: str) -> None:
    """And the client gets the responses that belong to it."""
    steps, statuses = SCRIPTS[name]

    async def script() -> None:
        script = Script(limits={"pipelined": 2})
        for event, action, state in steps:
            before = script.connection.read_state
            if isinstance(action, bytes):
                await script.receive(action)
            elif action == "switch":
                await script.respond(SWITCHING)
            else:
                await getattr(script, action)()
            assert script.connection.read_state is state, action
            assert not event or state in reachable(before, event)
        assert script.statuses == statuses

    play(script())


def test_every_transition_of_the_table_is_driven() -> None:
    """Those into states that last only within one read are seen by where they lead to."""
    driven: set[tuple[ReadState, str, ReadState]] = set()
    for steps, _ in SCRIPTS.values():
        state = HEAD
        for event, _, following in steps:
            if event:
                driven.add((state, event, following))
            state = following
    table = {
        (state, event, to)
        for state in TRANSITIONS
        if state not in TRANSIENT
        for event in TRANSITIONS[state]
        for to in reachable(state, event)
    }
    assert table == driven


def test_responses_come_in_the_order_of_the_requests() -> None:
    """A refusal waits for the response to the request before it; nothing is read meanwhile."""

    async def script() -> None:
        script = Script()
        await script.receive(GET + GET.replace(b"/public", b"") + GET)
        assert (script.statuses, script.pipe.paused, script.connection.has_queued) == ([], True, True)
        await script.respond()
        assert (script.statuses, script.pipe.paused) == ([b"200", b"401"], False)
        await script.respond()
        assert script.statuses == [b"200", b"401", b"200"]
        assert script.connection.idle

    play(script())


def test_bytes_behind_a_head_that_cannot_be_read_are_not_read() -> None:
    """The request before it is answered, then the refusal, and the connection is closed in stages."""

    async def script() -> None:
        script = Script()
        await script.receive(GET + b"\x00\r\n" + GET)
        await script.respond()
        assert script.statuses == [b"200", b"501"]
        assert script.pipe.half_closed

    play(script())


def test_a_body_is_read_no_faster_than_the_upstream_takes_it() -> None:
    """Reading pauses while the upstream is full, and no deadline of the client's runs."""

    async def script() -> None:
        script = Script()
        await script.receive(POST)
        script.playbook.upstream.protocol.pause_writing()
        paused = [script.pipe.paused]
        assert script.connection.deadline == float("inf")
        script.playbook.upstream.protocol.resume_writing()
        assert [*paused, script.pipe.paused] == [True, False]
        assert script.connection.deadline < float("inf")

    play(script())


@pytest.mark.parametrize(
    ("data", "status"), [(b"GET /public", [b"408"]), (POST, [b"408"]), (b"", [])], ids=["head", "body", "nothing"]
)
def test_a_client_that_stalls_is_refused(data: bytes, status: list[bytes]) -> None:
    """408 if it has begun a request; a connection without one is closed."""

    async def script() -> None:
        script = Script()
        if data:
            await script.receive(data)
        script.connection.sweep(script.connection.deadline, 0.0)
        assert script.statuses == status
        assert script.pipe.closed or script.pipe.half_closed

    play(script())


@pytest.mark.parametrize(
    ("limits", "data", "status"),
    [
        ({"target": "20B"}, b"GET /" + b"a" * 30, b"414"),
        ({"target": "20B"}, b"GET /" + b"a" * 30 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"414"),
        ({"head": "100B"}, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200 + b"\r\n\r\n", b"431"),
        ({"fields": 2}, b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\n\r\n", b"431"),
        ({"connections": 1}, b"", b"503"),
    ],
)
def test_limits_are_kept(limits: dict[str, Any], data: bytes, status: bytes) -> None:
    """And the connection ends with the refusal."""

    async def script() -> None:
        script = Script(limits=limits)
        if limits == {"connections": 1}:
            script = second(script)
        else:
            await script.receive(data)
        assert script.statuses == [status]
        assert script.connection.read_state is CLOSED

    def second(first: Script) -> Script:
        first.connection = ClientConnection(first.playbook.registry)
        first.pipe = Pipe(first.connection)
        first.connection.connection_made(first.pipe)
        return first

    play(script())


def shutdown(script: Script) -> None:
    script.connection.shutdown()


def drop(script: Script) -> None:
    script.connection.connection_lost(None)


@pytest.mark.parametrize(("end", "closed"), [(shutdown, False), (drop, False)])
def test_a_request_under_way_is_answered_before_a_shutdown(end: Callable[[Script], None], closed: bool) -> None:
    """If the client is gone, the upstream's work is ended instead."""

    async def script() -> None:
        script = Script()
        await script.receive(GET)
        end(script)
        assert script.pipe.closed is closed
        if end is drop:
            assert script.playbook.upstream.aborted
            assert script.playbook.registry.connections == set()
        else:
            await script.respond()
            assert b"Connection: close\r\n" in script.pipe.written
            assert script.pipe.closed

    play(script())


def test_a_partial_head_behind_the_last_response_changes_nothing() -> None:
    """It neither gets a response of its own, however long it is, nor puts off the end of the connection."""

    async def script() -> None:
        statuses = []
        for behind in (b"", b"GET /x HTTP/1.1\r\nA", b"GET /" + b"x" * 100_000):
            script = Script()
            refused = b"POST /thing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab"
            await script.receive(refused + b"cde" + behind)
            assert script.pipe.half_closed
            statuses.append((script.statuses, script.connection.deadline - script.playbook.ticker.next))
        assert statuses == [([b"401"], 2.0)] * 3

    play(script())
