"""HTTP/2 connections, as scripts of a client on h2: floods, faults, shares, drain, reload and ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from h2.settings import SettingCodes
from harness.http2 import Http2Client, Http2Script
from harness.playbook import Pipe, Playbook, play
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from enforcer.proxy.http2.connection import Http2Connection, Http2State
from enforcer.tokens.purge import Purge

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM = 0, 1, 3, 6, 7, 11
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


async def opened(**changes: Any) -> Http2Script:
    """Return a connection that has begun."""
    script = Http2Script(**changes)
    await script.exchange()
    assert isinstance(script.session, Http2Connection)
    return script


async def send(script: Http2Script, *frames: Frame | bytes) -> None:
    """Put frames on the wire as they are."""
    script.pipe.receive(b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in frames))
    await script.exchange()


def encoded(script: Http2Script, *fields: tuple[str, str]) -> bytes:
    """Return the block of a request's field section."""
    head = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/public/x"), *fields]
    return script.client.machine.encoder.encode(head)


FLOODS: dict[str, Callable[[int], Frame]] = {
    "ping (CVE-2019-9512)": lambda _: PingFrame(0),
    "settings (CVE-2019-9515)": lambda _: SettingsFrame(0, settings={SettingCodes.MAX_FRAME_SIZE: 16_384}),
    "priority (CVE-2019-9513)": lambda number: PriorityFrame(2 * number + 1, depends_on=0),
    "credit (CVE-2019-9511)": lambda _: WindowUpdateFrame(0, window_increment=1),
    "resets of no stream (CVE-2019-9514)": lambda _: RstStreamFrame(1),
    "unknown frames": lambda _: ExtensionFrame(0xF0, 1, body=b""),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_control_frames_ends_the_connection(name: str) -> None:
    """After `limits.http2.control_frames`; fewer do no harm."""

    async def script() -> None:
        script = await opened(limits={"http2": {"control_frames": 20}})
        number = script.client.request("GET", "/thing")
        await script.exchange()
        assert script.client.statuses == {number: 401}
        seen = []
        for count in (10, 20):
            await send(script, *map(FLOODS[name], range(count)))
            seen.append(script.client.goaway)
        assert seen == [None, (number, ENHANCE_YOUR_CALM)]
        assert script.pipe.half_closed

    play(script())


def test_a_flood_of_empty_data_ends_the_connection() -> None:
    """CVE-2019-9518: with padding, too."""

    async def script() -> None:
        script = await opened(limits={"http2": {"control_frames": 20}})
        number = script.client.request("POST", "/public/thing", body=None)
        await script.exchange()
        await send(script, *(DataFrame(number, pad_length=1, flags=["PADDED"]) for _ in range(30)))
        assert script.client.goaway == (number, ENHANCE_YOUR_CALM)
        assert script.playbook.upstream.aborted

    play(script())


def test_rapid_resets_end_the_connection() -> None:
    """CVE-2023-44487: each of them begins work at the upstream."""

    async def script() -> None:
        script = await opened(limits={"http2": {"resets": 5}})
        for _ in range(8):
            if script.client.goaway is None:
                script.client.machine.reset_stream(script.client.request("GET", "/public/thing"))
                await script.exchange()
        assert script.client.goaway == (11, ENHANCE_YOUR_CALM)

    play(script())


@pytest.mark.parametrize("field", [("x", "a\r\nb: c"), ("connection", "close")])
def test_streams_that_the_enforcer_must_reset_count_as_resets(field: tuple[str, str]) -> None:
    """CVE-2025-8671: the client need not send RST_STREAM itself."""

    async def script() -> None:
        script = await opened(limits={"http2": {"resets": 3}})
        for number in (1, 3, 5, 7):
            flags = ["END_HEADERS", "END_STREAM"]
            script.pipe.receive(HeadersFrame(number, encoded(script, field), flags=flags).serialize())
            await script.playbook.settle()
        assert Http2State.CLOSED is script.session.state
        assert GoAwayFrame(0, last_stream_id=7, error_code=ENHANCE_YOUR_CALM).serialize() in script.pipe.written

    play(script())


def test_credit_that_overflows_ends_the_stream_and_counts_as_a_reset() -> None:
    """RFC 9113 §6.9.1: the library resets the stream by itself."""

    async def script() -> None:
        script = await opened(limits={"http2": {"resets": 1}})
        numbers = [script.client.request("GET", "/public/thing") for _ in range(2)]
        await script.exchange()
        await send(script, WindowUpdateFrame(numbers[0], window_increment=2**31 - 1))
        assert script.client.resets == {numbers[0]: FLOW_CONTROL_ERROR}
        assert script.playbook.upstreams[0].aborted
        await send(script, WindowUpdateFrame(numbers[1], window_increment=2**31 - 1))
        assert script.client.goaway == (numbers[1], ENHANCE_YOUR_CALM)

    play(script())


@pytest.mark.parametrize("size", [0, 16_384])
def test_a_field_section_without_end_ends_the_connection(size: int) -> None:
    """CVE-2024-27316: neither many CONTINUATION frames nor large ones are held."""

    async def script() -> None:
        script = await opened()
        frames = [HeadersFrame(1, b""), *(ContinuationFrame(1, b"a" * size) for _ in range(20))]
        await send(script, *frames)
        assert script.client.goaway == (0, ENHANCE_YOUR_CALM)
        assert script.session.memory < 100_000

    play(script())


def test_a_compressed_bomb_ends_the_connection() -> None:
    """CVE-2016-6581: a short section that refers to a long entry many times."""

    async def script() -> None:
        script = await opened()
        block = encoded(script, *[("x-long", "a" * 3000)] * 100)
        assert len(block) < 3500
        await send(script, HeadersFrame(1, block, flags=["END_HEADERS", "END_STREAM"]))
        assert script.client.goaway == (0, ENHANCE_YOUR_CALM)

    play(script())


def test_a_large_head_is_refused() -> None:
    """Like one of HTTP/1.1: 431, and the connection goes on."""

    async def script() -> None:
        script = await opened(limits={"head": "4KiB"})
        large = script.client.request("GET", "/public/x", ("x-large", "a" * 5000))
        await script.exchange()
        assert (script.client.statuses, script.client.goaway) == ({large: 431}, None)

    play(script())


def test_more_streams_than_the_limit_are_refused_each() -> None:
    """They may be sent again (RFC 9113 §8.7), and those within the limit are served."""

    async def script() -> None:
        script = Http2Script(limits={"http2": {"streams": 2}})
        numbers = [script.client.request("GET", "/public/thing") for _ in range(3)]
        await script.exchange()
        assert script.client.resets == {numbers[2]: REFUSED_STREAM}
        assert len(script.playbook.upstreams) == 2
        for pipe in script.playbook.upstreams:
            pipe.receive(NO_CONTENT)
        await script.exchange()
        assert script.client.statuses == dict.fromkeys(numbers[:2], 204)

    play(script())


def test_a_client_that_does_not_read_is_not_read() -> None:
    """CVE-2019-9512, -9515, -9517: what its frames cause would be ours to hold."""

    async def script() -> None:
        script = await opened()
        number = script.client.request("GET", "/public/thing")
        await script.exchange()
        script.session.pause_writing()
        assert script.pipe.paused
        await script.respond(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert number not in script.client.bodies
        script.session.resume_writing()
        await script.exchange()
        assert (script.client.bodies, script.pipe.paused) == ({number: b"ok"}, False)

    play(script())


def test_requests_in_one_read_begin_in_turns() -> None:
    """As many requests as fit into one read are not one piece of work: other clients come between them."""

    async def script() -> None:
        script = await opened()
        numbers = [script.client.request("GET", "/thing") for _ in range(30)]
        script.pipe.receive(script.client.take())
        begun = len(script.playbook.ticker.turns)
        assert begun == 1
        assert script.pipe.paused
        await script.exchange()
        assert list(script.client.statuses) == numbers
        assert not script.pipe.paused

    play(script())


def raw_head(script: Http2Script, *fields: tuple[str, str]) -> bytes:
    """Return the block of a field section as it is given."""
    return script.client.machine.encoder.encode(fields)


POST = ((":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/public/x"))
STREAM_FAULTS: dict[str, Callable[[Http2Script, int], Frame | bytes]] = {
    "more than its length": lambda _, number: DataFrame(number, b"too long"),
    "less than its length": lambda _, number: DataFrame(number, b"a", flags=["END_STREAM"]),
    "trailers that do not end it": lambda script, number: HeadersFrame(
        number, raw_head(script, ("x", "y")), flags=["END_HEADERS"]
    ),
    "an interim head": lambda script, number: HeadersFrame(
        number, raw_head(script, (":status", "100")), flags=["END_HEADERS", "END_STREAM"]
    ),
    "a length in trailers": lambda script, number: HeadersFrame(
        number, raw_head(script, ("content-length", "x")), flags=["END_HEADERS", "END_STREAM"]
    ),
    "credit of nothing": lambda _, number: b"\0\0\4\x08\0" + number.to_bytes(4) + bytes(4),
    "a short priority": lambda _, number: b"\0\0\4\2\0" + number.to_bytes(4) + bytes(4),
    "a priority below itself": lambda _, number: PriorityFrame(number, depends_on=number),
}


@pytest.mark.parametrize("name", STREAM_FAULTS)
def test_the_fault_of_a_stream_ends_only_the_stream(name: str) -> None:
    """RFC 9113 §5.4.2, §8.1.1: its upstream's work ends, others go on, and it counts as a reset."""

    async def script() -> None:
        script = await opened(limits={"http2": {"resets": 1}})
        numbers = [script.client.request("POST", "/public/x", ("content-length", "3"), body=None) for _ in range(2)]
        other = script.client.request("GET", "/public/thing")
        await script.exchange()
        await send(script, STREAM_FAULTS[name](script, numbers[0]))
        code = FRAME_SIZE_ERROR if name == "a short priority" else PROTOCOL_ERROR
        assert (script.client.resets, script.client.goaway) == ({numbers[0]: code}, None)
        assert [pipe.aborted for pipe in script.playbook.upstreams] == [True, False, False]
        script.playbook.upstreams[2].receive(NO_CONTENT)
        await script.exchange()
        assert script.client.statuses == {other: 204}
        await send(script, STREAM_FAULTS[name](script, numbers[1]))
        assert script.client.goaway == (other, ENHANCE_YOUR_CALM)

    play(script())


@pytest.mark.parametrize(
    "fields", [(("content-length", "+1"),), (("content-length", "1"), ("content-length", "2")), ((":status", "100"),)]
)
def test_a_request_that_the_library_does_not_take_is_a_malformed_one(fields: tuple[tuple[str, str], ...]) -> None:
    """It ends its stream only, counts as a reset, and is counted like every request that cannot be read."""

    async def script() -> None:
        script = await opened(limits={"http2": {"resets": 1}})
        for number in (1, 3):
            section = (*fields, *POST) if fields[0][0] == ":status" else (*POST, *fields)
            flags = ["END_HEADERS"]
            script.pipe.receive(HeadersFrame(number, raw_head(script, *section), flags=flags).serialize())
            await script.playbook.settle()
            assert RstStreamFrame(number, error_code=PROTOCOL_ERROR).serialize() in script.pipe.written
        assert GoAwayFrame(0, last_stream_id=3, error_code=ENHANCE_YOUR_CALM).serialize() in script.pipe.written

    play(script())


def test_a_response_that_is_being_read_ends_with_the_fault_of_its_request() -> None:
    """Although its exchange is over already."""

    async def script() -> None:
        script = await opened()
        script.client.reads = False
        number = script.client.request("GET", "/public/thing")
        await script.exchange()
        await script.respond(b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000)
        await send(script, STREAM_FAULTS["credit of nothing"](script, number))
        assert (script.client.resets, script.session.busy) == ({number: PROTOCOL_ERROR}, False)

    play(script())


LATE: dict[str, Callable[[Http2Script, int], Frame]] = {
    "DATA": lambda _, number: DataFrame(number, b"late"),
    "HEADERS": lambda script, number: HeadersFrame(
        number, raw_head(script, ("x", "y")), flags=["END_HEADERS", "END_STREAM"]
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_frames_of_a_stream_that_was_refused_are_tolerated_up_to_a_limit(name: str) -> None:
    """They may have been on their way; each causes RST_STREAM (CVE-2019-9514), so a flood of them ends the connection.

    Their bytes count for the connection's window, and are given back.
    """

    async def script() -> None:
        script = await opened(limits={"http2": {"control_frames": 20}})
        number = script.client.request("POST", "/thing", body=None)
        await script.exchange()
        assert (script.client.statuses, script.client.resets) == ({number: 401}, {number: NO_ERROR})
        await send(script, *(LATE[name](script, number) for _ in range(10)))
        assert script.client.goaway is None
        served = script.client.request("GET", "/thing")
        await script.exchange()
        assert script.client.statuses[served] == 401
        await send(script, *(LATE[name](script, number) for _ in range(30)))
        assert script.client.goaway == (served, ENHANCE_YOUR_CALM)

    play(script())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0\0\1\0\0\0\0\0\0a", PROTOCOL_ERROR),
        (b"\0\0\4\x08\0\0\0\0\x09\0\0\0\0", PROTOCOL_ERROR),
        (DataFrame(9, b"a").serialize(), PROTOCOL_ERROR),
        (HeadersFrame(3, b"\xff", flags=["END_HEADERS"]).serialize(), PROTOCOL_ERROR),
        (HeadersFrame(3, b"\x82").serialize() + DataFrame(1, b"a").serialize(), PROTOCOL_ERROR),
        (DataFrame(1, b"a", pad_length=9, flags=["PADDED"]).serialize()[:9] + b"\x0b" + bytes(10), PROTOCOL_ERROR),
        (HeadersFrame(2, b"\x82", flags=["END_HEADERS"]).serialize(), PROTOCOL_ERROR),
        (b"\0\0\4\x08\0\0\0\0\0\0\0\0\0", PROTOCOL_ERROR),
        (b"\0\x80\0\0\0\0\0\0\1", FRAME_SIZE_ERROR),
    ],
)
def test_the_fault_of_a_connection_ends_it(data: bytes, code: int) -> None:
    """With GOAWAY; the upstreams' work for its streams ends."""

    async def script() -> None:
        script = await opened()
        number = script.client.request("GET", "/public/thing")
        await script.exchange()
        script.pipe.receive(data)
        await script.exchange()
        assert script.client.goaway == (number, code)
        assert script.playbook.upstream.aborted
        assert script.playbook.telemetry.http2_ended() == 1

    play(script())


def test_a_frame_that_stays_incomplete_ends_the_connection() -> None:
    """After `timeouts.head`, as a head in HTTP/1.1."""

    async def script() -> None:
        script = await opened()
        script.pipe.receive(HeadersFrame(1, b"abc").serialize()[:5])
        await script.playbook.settle()
        now = script.playbook.ticker.next
        script.session.sweep(now + 9, 0)
        assert script.session.is_open
        script.session.sweep(now + 11, 0)
        assert not script.session.is_open

    play(script())


def test_an_upload_that_goes_on_is_not_a_frame_that_stays_incomplete() -> None:
    """Reads seldom end with a frame."""

    async def script() -> None:
        script = await opened()
        number = script.client.request("POST", "/public/thing", body=None)
        await script.exchange()
        frame, now = DataFrame(number, b"a" * 1000).serialize(), script.playbook.ticker.next
        data = frame[:500]
        for step in range(4):
            script.pipe.receive(data)
            await script.playbook.settle()
            script.playbook.ticker.next = now + 20 * (step + 1)
            script.session.sweep(script.playbook.ticker.next, 0)
            data = frame[500:] + frame[:500]
        assert script.session.is_open
        script.session.sweep(now + 200, 0)
        assert not script.session.is_open

    play(script())


def test_an_idle_connection_is_closed() -> None:
    """After `timeouts.keep_alive`, counted from its last stream."""

    async def script() -> None:
        script = await opened()
        number = script.client.request("GET", "/public/thing")
        await script.exchange()
        script.session.sweep(script.playbook.ticker.next + 80, 0)
        assert script.session.is_open
        await script.respond(NO_CONTENT)
        assert script.client.statuses == {number: 204}
        script.session.sweep(script.playbook.ticker.next + 80, 0)
        assert (script.session.is_open, script.pipe.closed) == (False, True)

    play(script())


def test_a_drain_announces_the_end_and_serves_what_is_on_its_way() -> None:
    """RFC 9113 §6.8: the first GOAWAY names no stream, the second the last one; later ones may be sent elsewhere."""

    async def script() -> None:
        script = await opened()
        served = script.client.request("GET", "/public/thing")
        await script.exchange()
        script.pipe.take()
        script.session.drain()
        script.session.shutdown()
        goaways = [GoAwayFrame(0, last_stream_id=last) for last in (2**31 - 1, served)]
        assert script.pipe.take() == b"".join(frame.serialize() for frame in goaways)
        late = script.client.request("GET", "/public/thing")
        await script.exchange()
        assert script.client.resets == {late: REFUSED_STREAM}
        await script.respond(NO_CONTENT)
        assert (script.client.statuses, script.pipe.closed) == ({served: 204}, True)

    play(script())


def test_a_connection_that_comes_while_draining_is_told_at_once() -> None:
    """And served."""

    async def script() -> None:
        script = Http2Script()
        script.playbook.registry.drain()
        script.pipe.receive(script.client.take())
        await script.playbook.settle()
        assert GoAwayFrame(0, last_stream_id=2**31 - 1).serialize() in script.pipe.written

    play(script())


def test_a_client_that_goes_away_gets_its_responses() -> None:
    """GOAWAY of a client ends only what it has not begun."""

    async def script() -> None:
        script = await opened()
        number = script.client.request("GET", "/public/thing")
        await script.exchange()
        await send(script, GoAwayFrame(0, last_stream_id=0))
        assert script.session.is_open
        await script.respond(NO_CONTENT)
        assert (script.client.statuses, script.pipe.closed) == ({number: 204}, True)

    play(script())


@pytest.mark.parametrize("event", ["connection_lost", "eof_received"])
def test_a_client_that_leaves_ends_the_upstreams_work(event: str) -> None:
    """For all of its streams, and it is no longer counted."""

    async def script() -> None:
        script = await opened()
        for _ in range(2):
            script.client.request("GET", "/public/thing")
        await script.exchange()
        registry = script.playbook.registry
        assert script.playbook.telemetry.in_flight() == 2
        getattr(script.session, event)(*([None] if event == "connection_lost" else []))
        assert [pipe.aborted for pipe in script.playbook.upstreams] == [True, True]
        assert script.playbook.telemetry.in_flight() == 0
        script.session.connection_lost(None)
        assert registry.connections == set()

    play(script())


def test_a_purge_ends_the_streams_of_its_token() -> None:
    """And a reload those that the new policy denies."""

    async def script() -> None:
        script = await opened()
        playbook = script.playbook
        token = ("authorization", "Bearer good-token")
        number = script.client.request("GET", "/thing", token)
        await script.exchange()
        playbook.introspected({"active": True, "scope": "read", "sub": "alice", "exp": 4_000_000_000})
        await script.exchange()
        await script.respond(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata")
        list(playbook.registry.revoke(Purge("subject", "alice")))
        script.session.sweep(playbook.ticker.next, 0)
        await script.exchange()
        assert list(script.client.resets) == [number]
        public = script.client.request("GET", "/public/thing")
        await script.exchange()
        await script.respond(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata")
        await playbook.registry.swap(playbook.snapshot(rules=[{"name": "all", "path": "/**", "scopes": ["never"]}]))
        await script.exchange()
        assert list(script.client.resets) == [number, public]
        assert script.session.renew()

    play(script())


def test_http2_can_be_switched_off() -> None:
    """Then its preface is not a request."""

    async def script() -> None:
        script = Http2Script(listener={"http2": False})
        script.pipe.receive(script.client.take())
        await script.playbook.settle()
        assert script.pipe.written.startswith(b"HTTP/1.1 400 ")

    play(script())


@pytest.mark.parametrize("size", [1, 5, 24, 30])
def test_the_preface_may_come_in_pieces(size: int) -> None:
    """On plain text the parser of HTTP/1.1 reads it first."""

    async def script() -> None:
        script = Http2Script()
        script.client.request("GET", "/thing")
        data = script.client.take()
        for start in range(0, len(data), size):
            script.pipe.receive(data[start : start + size])
            await script.playbook.settle()
        await script.exchange()
        assert script.client.statuses == {1: 401}

    play(script())


def test_with_tls_the_preface_comes_first() -> None:
    """The client has agreed on HTTP/2 (ALPN); what is not its preface ends the connection."""

    async def script() -> None:
        for data, statuses in ((b"GET / HTTP/1.1\r\n\r\n", {}), (b"", {1: 401})):
            playbook, client = Playbook(), Http2Client()
            connection = Http2Connection(playbook.registry)
            pipe = Pipe(connection)
            connection.connection_made(pipe)
            client.request("GET", "/thing")
            pipe.receive(data or client.take())
            await playbook.settle()
            if statuses:
                client.receive(pipe.take())
            assert (client.statuses, connection.is_open) == (statuses, bool(statuses))

    play(script())


def test_a_connection_over_the_limit_is_closed() -> None:
    """It counts like one of HTTP/1.1."""

    async def script() -> None:
        playbook = Playbook(limits={"connections": 1})
        first, second = (Http2Connection(playbook.registry) for _ in range(2))
        first.connection_made(Pipe(first))
        pipe = Pipe(second, address="192.0.2.2")
        second.connection_made(pipe)
        assert pipe.aborted

    play(script())
