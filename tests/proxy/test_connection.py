"""Client connections as scripts: the order of responses, flow control, limits, turns and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness.client_script import GET, POST, Script
from harness.playbook import Pipe, play

from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.states.read_state import ReadState


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
        script = Script(limits={"client_share": "100%", **limits})
        if limits == {"connections": 1}:
            script = second(script)
        else:
            await script.receive(data)
        assert script.statuses == [status]
        assert script.connection.read_state is ReadState.CLOSED

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


REFUSED = GET.replace(b"/public", b"")


def test_of_many_requests_in_one_read_one_begins_at_once() -> None:
    """The others begin in turns; nothing more is read until then, and no deadline of the client's runs."""

    async def script() -> None:
        for count, begun in ((20, 1), (500, 0)):
            script = Script()
            script.pipe.receive(REFUSED * count)
            assert (len(script.statuses), script.pipe.paused, script.connection.has_queued) == (begun, True, True)
            script.connection.sweep(script.connection.deadline + 1000, 0.0)
            assert not script.pipe.closed
            await script.playbook.settle()
            assert (script.statuses, script.pipe.paused, script.connection.idle) == ([b"401"] * count, False, True)

    play(script())


def test_requests_behind_one_that_waits_stay_bytes() -> None:
    """Of a thousand, one is forwarded and one is parsed; all are answered in their order."""

    async def script() -> None:
        script = Script()
        await script.receive(b"".join(GET.replace(b"thing", b"%d" % number) for number in range(1000)))
        for number in range(1000):
            assert b"GET /public/%d HTTP/1.1" % number in script.playbook.upstream.take()
            await script.respond()
        assert script.statuses == [b"200"] * 1000
        assert script.connection.idle

    play(script())


def test_a_body_in_many_chunks_is_one_write() -> None:
    """The pieces of one turn are joined, and the next read waits for a turn however small it is."""

    async def script() -> None:
        script = Script()
        await script.receive(POST)
        script.playbook.upstream.take()
        script.pipe.receive(b"1\r\nx\r\n" * 100)
        assert script.playbook.upstream.take() == b"64\r\n" + b"x" * 100 + b"\r\n"
        script.pipe.receive(b"1\r\ny\r\n")
        assert (script.pipe.paused, script.playbook.upstream.take()) == (True, b"")
        await script.playbook.settle()
        assert (script.pipe.paused, script.playbook.upstream.take()) == (False, b"1\r\ny\r\n")

    play(script())


def test_a_head_with_a_small_body_is_processed_at_once() -> None:
    """It is what most requests with a body look like."""

    async def script() -> None:
        script = Script()
        for opened in (False, True):  # the first one opens the connection to the upstream
            script.pipe.receive(b"POST /public/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab")
            assert script.pipe.paused is not opened
            await script.playbook.settle()
            assert script.playbook.upstream.take().endswith(b"\r\n\r\nab")
            await script.respond()

    play(script())


def test_chunk_extensions_without_end_are_refused() -> None:
    """A body may have sixteen times as much framing as data, and the size of a head more."""

    async def script() -> None:
        script = Script()
        await script.receive(POST)
        for _ in range(100):
            await script.receive(b"1;%b\r\nx\r\n" % (b"x" * 1000))
        assert script.statuses == [b"431"]

    play(script())


def test_a_drain_answers_the_requests_that_are_held() -> None:
    """Only the last response announces the end."""

    async def script() -> None:
        script = Script()
        script.pipe.receive(REFUSED * 3)
        script.connection.shutdown()
        await script.playbook.settle()
        assert script.statuses == [b"401"] * 3
        assert script.pipe.written.count(b"Connection: close") == 1
        assert script.pipe.closed

    play(script())


def test_a_refused_upload_is_dropped_in_turns() -> None:
    """The client may read its refusal meanwhile; a large read lets the others have a turn."""

    async def script() -> None:
        script = Script()
        await script.receive(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        assert (script.statuses, script.pipe.half_closed) == ([b"401"], True)
        script.pipe.receive(b"x" * 200_000)
        assert script.pipe.paused
        await script.playbook.settle()
        assert (script.pipe.paused, script.playbook.ticker.turns.places.used) == (False, 0)

    play(script())
