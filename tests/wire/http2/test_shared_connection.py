"""HTTP/2 to a server, as scripts of events: a pool on one side, the library's server on the other."""

from __future__ import annotations

import asyncio

import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived
from h2.settings import SettingCodes
from harness.http2_server import OK
from harness.shared_connections import Bed, play

from enforcer.errors import UpstreamFailure
from enforcer.settings.connections.pool import StreamSettings
from enforcer.share_report import SharedTable, ShareReport
from enforcer.wire.streams import Streams

FIELDS = {
    b":method": b"POST",
    b":scheme": b"http",
    b":authority": b"app.test",
    b":path": b"/thing",
    b"x-name": b"value",
}


def test_a_request_and_its_response_are_a_stream() -> None:
    """Names are in lower case, the connection's own fields stay behind, and the stream ends with the request."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin()
        assert bed.server.heads == {1: FIELDS}
        assert bed.server.ended == {1}
        bed.server.respond(1, b"hello")
        assert exchange.events == [(200, b"OK", b"content-type: text/plain\r\n", False), b"hello", ("complete", b"")]
        assert not bed.server.resets

    play(script)


def test_exchanges_share_a_connection() -> None:
    """Their responses come in any order."""

    async def script(bed: Bed) -> None:
        first, second = await bed.begin(), await bed.begin("other")
        assert (len(bed.servers), bed.pool.opened) == (1, 1)
        bed.server.respond(3, b"second")
        bed.server.respond(1, b"first")
        assert (first.events[1], second.events[1]) == (b"first", b"second")

    play(script)


def test_requests_that_wait_for_the_first_connection_open_one() -> None:
    """And not one each."""

    async def script(bed: Bed) -> None:
        exchanges = [bed.exchange(str(number)) for number in range(50)]
        for exchange in exchanges:
            exchange.request()
        await bed.settle()
        assert (bed.pool.opened, len(bed.server.heads)) == (1, 50)

    play(script)


def test_a_connection_has_no_more_streams_than_the_server_permits() -> None:
    """More open another connection, up to the limit of concurrent requests; then they wait for a place."""

    async def script(bed: Bed) -> None:
        exchanges = [await bed.begin(str(number)) for number in range(5)]
        assert bed.heads == [2, 2]
        assert exchanges[4].carrier is None
        bed.servers[0].respond(1)
        await bed.settle()
        assert exchanges[4].carrier is not None

    play(script, server={SettingCodes.MAX_CONCURRENT_STREAMS: 2}, connections=4)


def test_our_own_limit_of_streams_holds_too() -> None:
    """Even if the server permits more."""

    async def script(bed: Bed) -> None:
        for _ in range(3):
            await bed.begin()
        assert bed.heads == [1, 1, 1]

    play(script, http2={"streams": 1})


def test_a_request_body_has_its_end_and_its_trailers() -> None:
    """Without framing of HTTP/1.1."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin(has_body=True, chunked=True)
        exchange.stream.send_body(b"one")
        exchange.stream.send_body(b"two")
        await bed.settle()
        assert bed.server.ended == set()
        exchange.stream.end_body([b"Name", b": ", b"value", b"\r\n"])
        await bed.settle()
        server = bed.server
        assert (server.bodies[1], server.ended, server.trailers[1]) == (b"onetwo", {1}, [(b"name", b"value")])

    play(script)


def test_a_request_whose_end_is_known_takes_one_frame_for_body_and_end() -> None:
    """An empty DATA frame behind the body is work for both ends; and one write has them all."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin(has_body=True)
        before = bed.server.pipe.writes
        exchange.stream.send_body(b"one")
        exchange.stream.end_body([])
        other = bed.exchange("other", has_body=True)
        other.request()
        other.stream.send_body(b"two")
        other.stream.send_body(b"three")
        other.stream.end_body([])
        assert bed.server.pipe.writes == before
        await bed.settle()
        assert bed.server.pipe.writes == before + 1
        server = bed.server
        assert (server.bodies, server.ended) == ({1: b"one", 3: b"twothree"}, {1, 3})
        assert [event.data for event in server.events if isinstance(event, DataReceived)] == [b"one", b"twothree"]

    play(script)


def test_a_request_body_goes_no_faster_than_the_server_takes_it() -> None:
    """Pieces without room wait, and the receiver is notified; the end comes behind them."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin(has_body=True)
        exchange.stream.send_body(bytes(100_000))
        await bed.settle()
        assert len(bed.server.bodies[1]) == 65_535
        assert exchange.events == ["full"]
        assert exchange.stream.memory == 100_000 - 65_535
        exchange.stream.end_body([])
        bed.server.do(lambda it: it.increment_flow_control_window(50_000))
        assert len(bed.server.bodies[1]) == 65_535
        bed.server.do(lambda it: it.increment_flow_control_window(50_000, 1))
        await bed.settle()
        server = bed.server
        assert (len(server.bodies[1]), server.ended) == (100_000, {1})
        assert exchange.events == ["full", "drained"]

    play(script)


def test_uploads_share_the_window_of_the_connection() -> None:
    """One client's upload takes no more of it than another's."""

    async def script(bed: Bed) -> None:
        first, second = await bed.begin("one", has_body=True), await bed.begin("other", has_body=True)
        first.stream.send_body(bytes(200_000))
        second.stream.send_body(bytes(200_000))
        await bed.settle()
        bed.server.do(lambda it: it.increment_flow_control_window(200_000, 1))
        bed.server.do(lambda it: it.increment_flow_control_window(200_000, 3))
        before = [len(bed.server.bodies[number]) for number in (1, 3)]
        bed.server.do(lambda it: it.increment_flow_control_window(65_536))
        after = [len(bed.server.bodies[number]) for number in (1, 3)]
        assert [later - earlier for earlier, later in zip(before, after, strict=True)] == [32_768, 32_768]

    play(script)


def test_a_server_that_does_not_read_stops_bodies() -> None:
    """The transport is full, whatever the windows permit."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin(has_body=True)
        bed.servers[0].pipe.protocol.pause_writing()
        exchange.stream.send_body(b"late")
        await bed.settle()
        assert bed.server.bodies[1] == b""
        bed.servers[0].pipe.protocol.resume_writing()
        await bed.settle()
        assert (bed.server.bodies[1], exchange.events) == (b"late", ["full", "drained"])

    play(script)


def test_a_response_goes_no_faster_than_its_client_takes_it() -> None:
    """A paused exchange gets what the window permits, and no more; the others go on."""

    async def script(bed: Bed) -> None:
        slow, other = await bed.begin("slow"), await bed.begin("other")
        slow.stream.pause()
        bed.server.do(lambda it: it.send_headers(1, OK))
        for _ in range(4):
            bed.server.do(lambda it: it.send_data(1, bytes(16_384)))
            await bed.settle()
        assert bed.server.machine.local_flow_control_window(1) == 0
        bed.server.respond(3, bytes(16_000))
        await bed.settle()
        assert other.events[-1] == ("complete", b"")
        slow.stream.resume()
        await bed.settle()
        assert bed.server.machine.local_flow_control_window(1) == 65_536

    play(script)


def test_a_response_may_have_trailers_and_interim_heads() -> None:
    """Each is an event."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin()
        bed.server.do(lambda it: it.send_headers(1, [(b":status", b"103"), (b"link", b"</a>")]))
        bed.server.do(lambda it: it.send_headers(1, OK))
        bed.server.do(lambda it: it.send_data(1, b"body"))
        bed.server.do(lambda it: it.send_headers(1, [(b"grpc-status", b"0")], end_stream=True))
        assert exchange.events == [
            (103, b"link: </a>\r\n"),
            (200, b"OK", b"content-type: text/plain\r\n", False),
            b"body",
            "flush",
            ("complete", b"grpc-status: 0\r\n"),
        ]

    play(script)


def test_a_head_that_ends_the_stream_is_not_flushed_by_itself() -> None:
    """So that it also ends the client's stream: gRPC calls this a response of trailers only."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin()
        bed.server.respond(1, head=[*OK, (b"grpc-status", b"5")])
        head = (200, b"OK", b"content-type: text/plain\r\ngrpc-status: 5\r\n", False)
        assert exchange.events == [head, ("complete", b"")]

    play(script)


def test_a_response_to_head_has_a_length_and_no_body() -> None:
    """It is not taken for a body that is missing."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin(head=b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", head_only=True)
        bed.server.respond(1, head=[(b":status", b"200"), (b"content-length", b"10")])
        assert exchange.events == [(200, b"OK", b"content-length: 10\r\n", True), ("complete", b"")]

    play(script)


def test_a_complete_response_ends_the_rest_of_the_request() -> None:
    """The server does not want it any more."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin(has_body=True)
        bed.server.respond(1, b"enough")
        assert exchange.events[-1] == ("complete", b"")
        assert bed.server.resets == {1: ErrorCodes.CANCEL}

    play(script)


def test_an_abandoned_exchange_resets_its_stream() -> None:
    """The server stops working on it; the place is free, and the connection goes on."""

    async def script(bed: Bed) -> None:
        gone, waiting = await bed.begin(), await bed.begin("other")
        assert waiting.carrier is None
        gone.stream.abandon()
        await bed.settle()
        assert bed.server.resets == {1: ErrorCodes.CANCEL}
        bed.server.respond(3, b"ok")
        assert (gone.events, waiting.events[-1], bed.pool.opened) == ([], ("complete", b""), 1)

    play(script, connections=1)


@pytest.mark.parametrize(("code", "processed"), [(ErrorCodes.REFUSED_STREAM, False), (ErrorCodes.INTERNAL_ERROR, True)])
def test_a_reset_stream_is_a_failure(code: ErrorCodes, processed: bool) -> None:
    """A refused one was not processed (RFC 9113 §8.7)."""

    async def script(bed: Bed) -> None:
        exchange, other = await bed.begin(), await bed.begin()
        bed.server.do(lambda it: it.reset_stream(1, code))
        assert exchange.events == [("failure", UpstreamFailure.UNAVAILABLE, False, processed)]
        bed.server.respond(3, b"ok")
        assert other.events[-1] == ("complete", b"")

    play(script)


def test_after_goaway_the_streams_that_the_server_knows_go_on() -> None:
    """The others were not processed; new ones go on another connection, and the old one is closed at its end."""

    async def script(bed: Bed) -> None:
        known, unknown = await bed.begin(), await bed.begin()
        server = bed.server
        server.pipe.receive(b"\0\0\x08\x07\0\0\0\0\0" + (1).to_bytes(4) + bytes(4))
        assert unknown.events == [("failure", UpstreamFailure.UNAVAILABLE, False, False)]
        unknown.request()
        await bed.settle()
        assert bed.heads == [2, 1]
        assert not server.pipe.closed
        server.respond(1, b"ok")
        assert (known.events[-1], server.pipe.closed) == (("complete", b""), True)

    play(script)


def test_a_connection_that_ends_fails_its_exchanges() -> None:
    """A request whose response has not begun may be repeated, except on a new connection, where it is to blame."""

    async def script(bed: Bed) -> None:
        first, second, third = await bed.begin(), await bed.begin(), await bed.begin()
        bed.server.do(lambda it: it.send_headers(3, OK))
        bed.servers[0].pipe.protocol.connection_lost(None)
        unavailable = UpstreamFailure.UNAVAILABLE
        assert [exchange.events[-1] for exchange in (first, second, third)] == [
            ("failure", unavailable, False, True),
            ("failure", unavailable, False, True),
            ("failure", unavailable, True, True),
        ]

    play(script)


MALFORMED: dict[str, list[tuple[bytes, bytes]]] = {
    "no status": [(b"a", b"b")],
    "101": [(b":status", b"101")],
    "status of two digits": [(b":status", b"20")],
    "upper case": [*OK, (b"Name", b"value")],
    "another pseudo-header field": [*OK, (b":path", b"/")],
    "connection": [*OK, (b"connection", b"close")],
    "transfer-encoding": [*OK, (b"transfer-encoding", b"chunked")],
    "te": [*OK, (b"te", b"trailers")],
    "line break": [*OK, (b"name", b"a\r\nSet-Cookie: b")],
    "space around": [*OK, (b"name", b" value")],
    "no length": [*OK, (b"content-length", b"x")],
    "two lengths": [*OK, (b"content-length", b"2"), (b"content-length", b"2")],
    "another length": [*OK, (b"content-length", b"3")],
    "no length at all": [*OK, (b"content-length", b"0")],
    "too many fields": [*OK, *((b"name", b"") for _ in range(300))],
    "too large": [*OK, (b"name", bytes(70_000).replace(b"\0", b"x"))],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_response_ends_its_stream_only(name: str) -> None:
    """RFC 9113 §8.1.1: it is the fault of the stream. Nobody else's exchange may end because of it."""

    async def script(bed: Bed) -> None:
        exchange, other = await bed.begin(), await bed.begin("other")

        def send(it: H2Connection) -> None:
            it.send_headers(1, MALFORMED[name])
            it.send_data(1, b"ok", end_stream=True)

        bed.server.do(send)
        await bed.settle()
        assert exchange.events[-1] == ("failure", UpstreamFailure.MALFORMED, False, True)
        bed.server.respond(3, b"ok")
        assert other.events[-1] == ("complete", b"")
        assert bed.pool.opened == 1

    play(script)


def test_bodies_that_are_too_long_use_up_no_window() -> None:
    """The window of the connection is that of all streams: it would stay closed indefinitely."""

    async def script(bed: Bed) -> None:
        for count in range(66):
            number = 2 * count + 1
            exchange = await bed.begin(str(number))

            def send(it: H2Connection, number: int = number) -> None:
                it.send_headers(number, [*OK, (b"content-length", b"1")])
                it.send_data(number, bytes(16_384))

            bed.server.do(send)
            await bed.settle()
            assert exchange.events[-1] == ("failure", UpstreamFailure.MALFORMED, False, True)
        bed.server.read()
        assert bed.server.machine.outbound_flow_control_window > 512 * 1024
        assert bed.pool.opened == 1

    play(script)


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_a_status_without_a_body_has_none(status: bytes) -> None:
    """More would be taken for the next response by an HTTP/1.1 client."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin()
        bed.server.do(lambda it: it.send_headers(1, [(b":status", status)]))
        bed.server.do(lambda it: it.send_data(1, b"body", end_stream=True))
        assert exchange.events[-1] == ("failure", UpstreamFailure.MALFORMED, False, True)

    play(script)


VIOLATIONS = {
    "HTTP/1.1": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "another first frame": b"\0\0\x08\x06\0\0\0\0\0pingpong",
    "a frame that is too large": b"\x01\0\0\x04\0\0\0\0\0",
    "GOAWAY": b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\x08\x07\0\0\0\0\0" + bytes(8),
}


@pytest.mark.parametrize("name", [name for name in VIOLATIONS if name != "GOAWAY"])
def test_a_server_of_another_protocol_is_no_connection(name: str) -> None:
    """Its failure says why, before any request was sent."""

    async def script(bed: Bed) -> None:
        bed.speaks = VIOLATIONS[name]
        exchange = await bed.begin()
        assert exchange.error is not None
        assert (exchange.error.reason, exchange.error.connected) == (UpstreamFailure.MALFORMED, False)

    play(script)


FLOODS: dict[str, bytes] = {
    "push": b"\0\0\x05\x05\x04\0\0\0\x01\0\0\0\x02\x88",
    "a stream that nobody opened": b"\0\0\x01\x01\x04\0\0\0\x05\x88",
    "CONTINUATION": b"\0\0\x01\x01\0\0\0\0\x01\x88" + 20 * b"\0\0\x01\x09\0\0\0\0\x01\x88",
    "a bomb of fields": b"\0\x02\x58\x01\x04\0\0\0\x01" + 600 * b"\x88",
    "a field section that is interrupted": b"\0\0\x01\x01\0\0\0\0\x01\x88" + b"\0\0\x01\0\0\0\0\0\x01a",
    "compression": b"\0\0\x01\x01\x04\0\0\0\x01\xff",
    "DATA beyond the window": b"\0\0\x01\x01\x04\0\0\0\x01\x88" + 5 * (b"\0\x40\0\0\0\0\0\0\x01" + bytes(16384)),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_violation_of_the_protocol_ends_the_connection(name: str) -> None:
    """With GOAWAY, and every exchange fails as malformed."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin()
        exchange.stream.pause()
        server = bed.server
        server.pipe.receive(FLOODS[name])
        await bed.settle()
        assert exchange.events[-1] == ("failure", UpstreamFailure.MALFORMED, False, True)
        assert server.pipe.closed
        assert server.pipe.take()[-17:-13] == b"\0\0\x08\x07"

    play(script)


def test_a_server_that_causes_frames_and_does_not_read_is_closed() -> None:
    """Responses to its PING and SETTINGS must not fill the memory (CVE-2019-9512, CVE-2019-9515)."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin()
        pipe = bed.server.pipe
        pipe.protocol.pause_writing()
        pipe.buffered = 2 * 1024**2
        pipe.receive(b"\0\0\x08\x06\0\0\0\0\0pingpong")
        assert exchange.events[-1] == ("failure", UpstreamFailure.MALFORMED, False, True)
        assert pipe.closed

    play(script)


def test_a_flood_of_small_frames_is_processed_in_turns() -> None:
    """The event loop serves others in between."""

    async def script(bed: Bed) -> None:
        exchange = await bed.begin()
        bed.server.do(lambda it: it.send_headers(1, OK))
        bed.server.pipe.receive(900 * b"\0\0\0\0\0\0\0\0\x01")
        assert len(bed.ticker.turns) == 1
        await bed.settle()
        bed.server.do(lambda it: it.send_data(1, b"end", end_stream=True))
        assert exchange.events[-1] == ("complete", b"")

    play(script)


def test_an_exchange_whose_response_is_late_fails_alone() -> None:
    """If the server has sent nothing at all since, its connection takes no more streams."""

    async def script(bed: Bed) -> None:
        late = await bed.begin()
        bed.sweep(2.0)
        other = await bed.begin("other")
        bed.sweep(59.0)
        await bed.settle()
        assert late.events == [("failure", UpstreamFailure.TIMEOUT, False, True)]
        assert (other.events, bed.server.resets) == ([], {1: ErrorCodes.CANCEL})
        again = await bed.begin()
        assert (bed.pool.opened, again.carrier is None) == (2, False)

    play(script)


def test_a_long_exchange_leaves_its_place_to_others() -> None:
    """It is a stream then, which is counted apart; its end frees that place too."""
    streams = Streams(StreamSettings(connections=1), 100, ShareReport(SharedTable.STREAMS))

    async def script(bed: Bed) -> None:
        long, waiting = await bed.begin(), await bed.begin("other")
        assert waiting.carrier is None
        bed.sweep(5.1)
        await bed.settle()
        assert (waiting.carrier is None, bed.pool.count_streams(), bed.pool.opened) == (False, 1, 1)
        bed.server.respond(1, b"ok")
        assert (long.events[-1], bed.pool.count_streams()) == (("complete", b""), 0)
        assert not (await bed.begin()).carrier  # the other exchange still has the only place

    play(script, connections=1, streams=streams, queue_timeout=60.0)


def test_an_idle_connection_is_closed() -> None:
    """After `keep_alive_timeout`, or by `close`; a stream keeps it open."""

    async def script(bed: Bed) -> None:
        await bed.begin()
        bed.sweep(5.0)
        server = bed.server
        assert not server.pipe.closed
        server.respond(1)
        bed.sweep(5.0)
        assert (server.pipe.closed, bed.pool.is_connected) == (True, False)
        running = await bed.begin()
        bed.pool.close()
        server = bed.server
        assert not server.pipe.closed
        server.respond(1, b"ok")
        assert (running.events[-1], server.pipe.closed) == (("complete", b""), True)

    play(script)


def test_an_exception_of_a_receiver_ends_its_exchange_only() -> None:
    """It is reported."""

    async def run() -> None:
        bed = Bed()
        broken, other = await bed.begin(), await bed.begin()
        broken.raises = True
        bed.server.respond(1, b"body")
        bed.server.respond(3, b"body")
        assert (broken.events[-1][0], other.events[-1]) == ("failure", ("complete", b""))
        assert [str(report) for report in bed.reports] == ["broken"]

    asyncio.run(run())
