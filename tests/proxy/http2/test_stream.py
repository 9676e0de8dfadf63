"""Streams, as scripts of a client on h2: both messages whole, as fast as the slower side, and every end."""

from __future__ import annotations

import pytest
from harness.http2 import Http2Script
from harness.playbook import play
from hyperframe.frame import DataFrame

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL = 0, 1, 2, 8


def test_a_response_has_its_head_its_body_and_its_trailers() -> None:
    """Interim responses come first; nothing of the upstream's connection is in it."""

    async def script() -> None:
        script = Http2Script()
        client, number = script.client, script.client.request("GET", "/public/thing")
        await script.exchange()
        await script.respond(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")
        await script.respond(CHUNKED.replace(b"\r\n\r\n", b"\r\nX-Name:  a \r\n\r\n") + b"2\r\nok\r\n")
        assert (client.informational, client.bodies, client.ended) == (["103"], {number: b"ok"}, set())
        assert client.heads[number] == {":status": "200", "x-name": "a"}
        await script.respond(b"0\r\nGrpc-Status: 0\r\n\r\n")
        assert (client.trailers, client.ended, client.resets) == ({number: {"grpc-status": "0"}}, {number}, {})
        assert not script.session.busy

    play(script())


@pytest.mark.parametrize(
    ("method", "response", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        ("GET", CHUNKED + b"0\r\n\r\n", None),
    ],
)
def test_a_response_ends_its_stream(method: str, response: bytes, body: bytes | None) -> None:
    """With its last frame, whatever its framing was."""

    async def script() -> None:
        script = Http2Script()
        number = script.client.request(method, "/public/thing")
        await script.exchange()
        await script.respond(response)
        assert (script.client.bodies.get(number) or None, script.client.ended) == (body, {number})

    play(script())


@pytest.mark.parametrize("chunks", [b"5\nhello\n0\n\n", b"2\r\nok\r\nx\r\n"])
def test_a_body_that_cannot_be_read_is_answered_502_if_it_came_with_its_head(chunks: bytes) -> None:
    """Nothing of the response was sent yet; later, the stream is reset."""

    async def script() -> None:
        for reads in ([CHUNKED + chunks], [CHUNKED, chunks]):
            script = Http2Script()
            number = script.client.request("GET", "/public/thing")
            await script.exchange()
            for read in reads:
                await script.respond(read)
            at_once = len(reads) == 1
            assert script.client.heads[number][":status"] == ("502" if at_once else "200")
            assert b"ok" not in script.client.bodies.get(number, b"")
            assert script.client.resets == ({} if at_once else {number: INTERNAL_ERROR})

    play(script())


def test_a_refusal_is_that_of_http1() -> None:
    """With its challenge, and without a body for HEAD."""

    async def script() -> None:
        script = Http2Script()
        get, head = script.client.request("GET", "/thing"), script.client.request("HEAD", "/thing")
        await script.exchange()
        assert script.client.statuses == {get: 401, head: 401}
        assert script.client.heads[get]["www-authenticate"] == "Bearer"
        assert (b"access token" in script.client.bodies[get], head in script.client.bodies) == (True, False)
        assert (script.client.ended, script.playbook.upstreams) == ({get, head}, [])

    play(script())


def test_a_refused_upload_is_not_read() -> None:
    """The response is whole, and then the stream is reset without an error (RFC 9113 §8.1)."""

    async def script() -> None:
        script = Http2Script()
        number = script.client.request("POST", "/thing", body=None)
        await script.exchange()
        assert (script.client.statuses, script.client.ended) == ({number: 401}, {number})
        assert script.client.resets == {number: NO_ERROR}
        other = script.client.request("GET", "/thing")
        await script.exchange()
        assert script.client.statuses[other] == 401

    play(script())


def test_a_body_reaches_the_upstream_with_its_trailers() -> None:
    """In chunks, as it comes; also while the response comes. Trailers that identify a client or user stay behind."""

    async def script() -> None:
        script = Http2Script()
        machine, number = script.client.machine, script.client.request("POST", "/public/thing", body=None)
        machine.send_data(number, b"abc")
        await script.exchange()
        upstream = script.playbook.upstream
        assert upstream.take().endswith(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await script.respond(CHUNKED + b"2\r\nok\r\n")
        machine.send_data(number, b"de")
        forged = [("x-auth-subject", "root"), ("x_auth_subject", "root"), ("authorization", "Bearer x")]
        machine.send_headers(number, [*forged, ("x-sum", "1")], end_stream=True)
        await script.exchange()
        assert upstream.take() == b"2\r\nde\r\n0\r\nx-sum: 1\r\n\r\n"
        await script.respond(b"0\r\n\r\n")
        assert (script.client.bodies, script.client.ended, script.client.resets) == ({number: b"ok"}, {number}, {})

    play(script())


def test_a_body_that_ends_short_of_its_length_is_never_complete() -> None:
    """The upstream would take the next client's request for the rest of it, and the connection is not used again."""

    async def script() -> None:
        script = Http2Script()
        machine = script.client.machine
        number = script.client.request("POST", "/public/thing", ("content-length", "10"), body=None)
        machine.send_data(number, b"abc")
        machine.send_headers(number, [("x-sum", "1")], end_stream=True)
        await script.exchange()
        assert (script.client.statuses, script.client.ended) == ({number: 400}, {number})
        assert script.playbook.upstream.aborted
        script.client.request("GET", "/public/second")
        await script.exchange()
        assert script.playbook.upstream.written.startswith(b"GET /public/second ")

    play(script())


def test_malformed_trailers_end_the_stream() -> None:
    """And the request, whose body must not look complete."""

    async def script() -> None:
        script = Http2Script()
        number = script.client.request("POST", "/public/thing", body=None)
        await script.exchange()
        config = script.client.machine.config
        config.validate_outbound_headers = config.normalize_outbound_headers = False
        script.client.machine.send_headers(number, [("x-end", "a\r\nb")], end_stream=True)
        await script.exchange()
        assert (script.client.resets, script.playbook.upstream.aborted) == ({number: PROTOCOL_ERROR}, True)
        assert not script.playbook.upstream.written.endswith(b"0\r\n\r\n")

    play(script())


def test_a_client_sends_no_faster_than_the_upstream_takes() -> None:
    """Its window stays closed while the upstream is full, and opens again after it."""

    async def script() -> None:
        script = Http2Script()
        machine, number = script.client.machine, script.client.request("POST", "/public/thing", body=None)
        await script.exchange()
        upstream = script.playbook.upstream
        upstream.protocol.pause_writing()
        for _ in range(4):
            machine.send_data(number, b"a" * 16_384)
        await script.exchange()
        assert machine.local_flow_control_window(number) == 0
        other = script.client.request("GET", "/thing")  # others go on
        await script.exchange()
        assert script.client.statuses == {other: 401}
        upstream.protocol.resume_writing()
        await script.exchange()
        assert machine.local_flow_control_window(number) == 65_536

    play(script())


def test_an_upstream_sends_no_faster_than_the_client_takes() -> None:
    """It is paused while the window is closed, and the memory is counted; all of the response comes in the end."""

    async def script() -> None:
        script = Http2Script()
        client = script.client
        client.reads = False
        number = client.request("GET", "/public/thing")
        await script.exchange()
        idle = script.session.memory
        await script.respond(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 90_000)
        assert (len(client.bodies[number]), script.playbook.upstream.paused) == (65_535, True)
        assert script.session.memory > idle + 20_000
        client.machine.acknowledge_received_data(65_535, number)
        await script.exchange()
        assert (len(client.bodies[number]), script.playbook.upstream.paused) == (90_000, False)
        await script.respond(b"a" * 10_000)
        assert (len(client.bodies[number]), client.ended) == (100_000, {number})

    play(script())


def test_a_client_that_reads_nothing_of_a_response_loses_it() -> None:
    """After `timeouts.body` (CVE-2019-9517, zero-window stalls); its connection goes on."""

    async def script() -> None:
        script = Http2Script()
        client, playbook = script.client, script.playbook
        client.reads = False
        number = client.request("GET", "/public/thing")
        await script.exchange()
        await script.respond(CHUNKED + b"10000\r\n" + b"a" * 0x10000)
        now = playbook.ticker.next
        script.session.sweep(now + 29, 0)
        assert not client.resets
        script.session.sweep(now + 31, 0)
        await script.exchange()
        assert (client.resets, playbook.upstream.aborted) == ({number: INTERNAL_ERROR}, True)
        assert (client.goaway, script.session.busy) == (None, False)

    play(script())


def test_a_whole_response_that_nobody_reads_is_dropped() -> None:
    """The exchange is over by then, and only the stream is left."""

    async def script() -> None:
        script = Http2Script()
        script.client.reads = False
        number = script.client.request("GET", "/public/thing")
        await script.exchange()
        await script.respond(b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000)
        assert script.session.busy
        script.session.sweep(script.playbook.ticker.next + 31, 0)
        await script.exchange()
        assert (script.client.resets, script.session.busy) == ({number: CANCEL}, False)

    play(script())


def test_a_client_that_stalls_in_a_body_gets_a_timeout() -> None:
    """As in HTTP/1.1: 408, and the upstream's work ends."""

    async def script() -> None:
        script = Http2Script()
        number = script.client.request("POST", "/public/thing", body=None)
        script.client.machine.send_data(number, b"a")
        await script.exchange()
        script.session.sweep(script.playbook.ticker.next + 31, 0)
        await script.exchange()
        assert (script.client.statuses, script.client.resets) == ({number: 408}, {number: NO_ERROR})
        assert script.playbook.upstream.aborted

    play(script())


def test_a_client_that_sends_a_frame_slowly_has_not_stalled() -> None:
    """At `limits.body_rate`, a frame may take longer than `timeouts.body`; it is passed on when it is whole."""

    async def script() -> None:
        script = Http2Script()
        number = script.client.request("POST", "/public/thing", body=None)
        await script.exchange()
        frame, began = DataFrame(number, b"a" * 16_384).serialize(), script.playbook.ticker.next
        for part in range(3):
            script.playbook.ticker.next = now = began + 25 * part
            script.session.sweep(now, 0)
            script.pipe.receive(frame[6_000 * part : 6_000 * (part + 1)])
            await script.exchange()
        assert (script.client.statuses, script.client.goaway) == ({}, None)
        assert script.playbook.upstream.written.endswith(b"a" * 16_384 + b"\r\n")
        script.pipe.receive(frame[:12])
        script.session.sweep(now + 31, 0)
        await script.exchange()
        assert script.client.statuses == {number: 408}

    play(script())


def test_a_client_that_waits_for_100_is_not_stalled() -> None:
    """RFC 9110 §10.1.1: the upstream decides when the body comes."""

    async def script() -> None:
        script = Http2Script()
        number = script.client.request("POST", "/public/thing", ("expect", "100-continue"), body=None)
        await script.exchange()
        script.session.sweep(script.playbook.ticker.next + 31, 0)
        await script.respond(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert (script.client.informational, script.client.statuses) == (["100"], {})
        script.client.machine.send_data(number, b"a", end_stream=True)
        await script.exchange()
        assert script.playbook.upstream.written.endswith(b"1\r\na\r\n0\r\n\r\n")

    play(script())


def test_a_client_that_resets_ends_the_upstreams_work() -> None:
    """Its other streams go on."""

    async def script() -> None:
        script = Http2Script()
        first, second = (script.client.request("GET", "/public/thing") for _ in range(2))
        await script.exchange()
        script.client.machine.reset_stream(first)
        await script.exchange()
        assert [pipe.aborted for pipe in script.playbook.upstreams] == [True, False]
        await script.respond(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert script.client.statuses == {second: 204}

    play(script())


def test_an_upstream_that_fails_resets_the_stream() -> None:
    """A response that is cut short must not look whole; before its head, it is 502."""

    async def script() -> None:
        script = Http2Script()
        cut, unanswered = (script.client.request("POST", "/public/thing", body=b"x") for _ in range(2))
        await script.exchange()
        first, second = script.playbook.upstreams
        first.receive(CHUNKED + b"2\r\nok\r\n")
        for pipe in (first, second):
            pipe.protocol.connection_lost(None)
        await script.exchange()
        assert script.client.resets == {cut: INTERNAL_ERROR}
        assert script.client.statuses == {cut: 200, unanswered: 502}
        assert script.client.goaway is None

    play(script())


def test_padding_is_framing() -> None:
    """A body of padding is not a way to send without a limit: it counts as in HTTP/1.1, where chunks are that small."""

    async def script() -> None:
        script = Http2Script(limits={"head": "1KiB"})
        number = script.client.request("POST", "/public/thing", body=None)
        await script.exchange()
        for _ in range(10):
            script.pipe.receive(DataFrame(number, b"a", pad_length=255, flags=["PADDED"]).serialize())
        await script.exchange()
        assert script.client.statuses == {number: 431}

    play(script())
