"""A pooled connection by itself: bytes from a server go in, and the events of its receiver come out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from enforcer.errors import UpstreamError, UpstreamFailure
from enforcer.settings.connections.pool import PoolSettings
from enforcer.wire.carrier import Carrier, Receiver, UpgradedConnection
from enforcer.wire.connection import NEVER, ConnectionOwner, PooledConnection
from enforcer.wire.ticker import Ticker

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
EVENTS = [("head", 200, b"OK", b"Content-Length: 2\r\n", True), ("body", b"hi"), ("complete", b"")]


class FakeTransport:
    """Records what is written, and whether and how it was closed."""

    def __init__(self) -> None:
        self.written = b""
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


class FakePool(ConnectionOwner):
    """Records which connections came back."""

    def __init__(self) -> None:
        self.released = 0
        self.forgotten = 0
        self.errors: list[BaseException] = []

    def release(self, connection: PooledConnection) -> None:
        self.released += 1

    def forget(self, connection: PooledConnection) -> None:
        self.forgotten += 1

    def begin_stream(self, carrier: Carrier) -> bool:
        raise AssertionError

    def report(self, error: BaseException) -> None:
        self.errors.append(error)


class FakeReceiver(Receiver):
    """Records its events."""

    def __init__(self) -> None:
        self.client = ""
        self.events: list[tuple[Any, ...]] = []
        self.flushes = 0

    def on_connection(self, carrier: Carrier) -> None:
        self.events.append(("connection",))

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        self.events.append(("informational", status, reason, b"".join(lines)))

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        self.events.append(("head", status, reason, b"".join(lines), sized))

    def on_body(self, data: bytes) -> None:
        self.events.append(("body", data))

    def on_flush(self) -> None:
        self.flushes += 1

    def on_complete(self, trailers: list[bytes]) -> None:
        self.events.append(("complete", b"".join(trailers)))

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: UpgradedConnection, rest: bytes) -> None:
        self.events.append(("upgrade", reason, b"".join(lines), rest))

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        self.events.append(("failure", error.reason, unanswered))

    def on_full(self) -> None:
        self.events.append(("full",))

    def on_drained(self) -> None:
        self.events.append(("drained",))


class Bed:
    """A connected connection with its counterparts."""

    def __init__(self, ticker: Ticker, loop: asyncio.AbstractEventLoop) -> None:
        self.ticker = ticker
        self.loop = loop
        self.pool = FakePool()
        self.transport = FakeTransport()
        self.settings = PoolSettings()
        self.connection = PooledConnection(self.pool, self.settings, ticker)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def send(self, **options: bool) -> FakeReceiver:
        receiver = FakeReceiver()
        self.connection.send(receiver, b"request", **options)
        return receiver


@pytest.fixture
def bed() -> Iterator[Bed]:
    loop = asyncio.new_event_loop()
    ticker = Ticker(loop)
    yield Bed(ticker, loop)
    ticker.stop()
    loop.close()


def test_the_end_of_a_connection_that_was_never_made_has_no_effect(bed: Bed) -> None:
    """Event loops report it after a failed TLS handshake, and log a traceback if that raises."""
    PooledConnection(bed.pool, bed.settings, bed.ticker).connection_lost(ConnectionAbortedError())
    assert bed.pool.errors == []


@pytest.mark.parametrize("size", [1, 7, len(OK)])
def test_a_complete_response_gives_the_connection_back(bed: Bed, size: int) -> None:
    """Regardless of how its bytes are split; the next exchange may then use the connection."""
    for number in (1, 2):
        receiver = bed.send()
        for start in range(0, len(OK), size):
            bed.connection.data_received(OK[start : start + size])
        body = b"".join(event[1] for event in receiver.events if event[0] == "body")
        assert [event for event in receiver.events if event[0] != "body"] == [EVENTS[0], EVENTS[2]]
        assert body == b"hi"
        assert (bed.pool.released, bed.pool.forgotten) == (number, 0)
    assert bed.transport.written == b"requestrequest"


def test_a_response_with_connection_close_ends_the_connection(bed: Bed) -> None:
    """It is complete, and the connection is not reused (RFC 9112 §9.6)."""
    receiver = bed.send()
    bed.connection.data_received(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert receiver.events == EVENTS
    assert (bed.pool.released, bed.pool.forgotten, bed.transport.calls) == (0, 1, ["close"])


def test_bytes_after_a_complete_response_are_not_the_next_response(bed: Bed) -> None:
    """The response counts, and the connection is not reused: the bytes belong to no request."""
    receiver = bed.send()
    bed.connection.data_received(OK + OK)
    assert receiver.events == EVENTS
    assert (bed.pool.released, bed.pool.forgotten) == (0, 1)


def test_bytes_on_an_idle_connection_close_it(bed: Bed) -> None:
    """No request asked for them."""
    bed.connection.data_received(OK)
    assert (bed.pool.forgotten, bed.transport.calls) == (1, ["abort"])


@pytest.mark.parametrize("data", [b"", OK[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"])
def test_a_response_that_ends_short_of_its_framing_is_a_failure(bed: Bed, data: bytes) -> None:
    """RFC 9112 §8: it is incomplete."""
    receiver = bed.send()
    if data:
        bed.connection.data_received(data)
    bed.connection.eof_received()
    bed.connection.connection_lost(None)
    assert receiver.events[-1] == ("failure", UpstreamFailure.UNAVAILABLE, False)
    assert not any(event[0] == "complete" for event in receiver.events)


def test_a_response_without_framing_ends_with_the_connection(bed: Bed) -> None:
    """RFC 9112 §6.3, 8."""
    receiver = bed.send()
    bed.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nhi")
    bed.connection.eof_received()
    assert receiver.events == [("head", 200, b"OK", b"", False), ("body", b"hi"), ("complete", b"")]
    assert bed.pool.released == 0


def test_a_reused_connection_that_closes_before_the_response_is_unanswered(bed: Bed) -> None:
    """The server may have closed it before the request arrived, so a retry is safe."""
    bed.send()
    bed.connection.data_received(OK)
    receiver = bed.send()
    bed.connection.connection_lost(None)
    assert receiver.events == [("failure", UpstreamFailure.UNAVAILABLE, True)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", id="unknown transfer coding"),
        pytest.param(b"HTTP/1.0 200 OK\nTransfer-Encoding: gzip\n\n", id="unknown transfer coding of an old app"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", id="upgrade that was not requested"),
        pytest.param(b"HTTP/1.1 099 No\r\n\r\n", id="status below 100"),
        pytest.param(b"<html>", id="not HTTP"),
    ],
)
def test_a_response_that_violates_http_is_malformed(bed: Bed, data: bytes) -> None:
    """The connection is closed, because nothing after it can be trusted."""
    receiver = bed.send()
    bed.connection.data_received(data)
    assert receiver.events == [("failure", UpstreamFailure.MALFORMED, False)]
    assert (bed.pool.released, bed.transport.calls) == (0, ["abort"])
    assert not bed.pool.errors, "the server's fault is reported as an error of the program"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 5\r\n\r\nevil!", b"Transfer-Encoding: chunked\r\n\r\n5\r\nevil!"]
)
def test_an_interim_response_with_a_body_is_passed_on_once(bed: Bed, framing: bytes) -> None:
    """RFC 9110 §15.2: it has no body, and a head is read again only if none was passed on."""
    receiver = bed.send()
    bed.connection.data_received(b"HTTP/1.1 199 Odd\r\n" + framing)
    assert receiver.events == [("informational", 199, b"Odd", b""), ("failure", UpstreamFailure.MALFORMED, False)]
    assert not bed.pool.errors


def test_a_head_is_bounded(bed: Bed) -> None:
    """A server cannot fill the memory with header fields."""
    receiver = bed.send()
    bed.connection.data_received(b"HTTP/1.1 200 OK\r\n")
    while not receiver.events:
        bed.connection.data_received(b"X: " + b"x" * 1000 + b"\r\n")
    assert receiver.events == [("failure", UpstreamFailure.MALFORMED, False)]


def test_hop_by_hop_fields_stay_on_the_connection(bed: Bed) -> None:
    """RFC 9110 §7.6.1: also those that Connection names. The others keep their order and spelling."""
    receiver = bed.send()
    bed.connection.data_received(
        b"HTTP/1.1 204 No Content\r\nx-A: 1\r\nConnection: X-B, keep-alive\r\n"
        b"x-b: 2\r\nKeep-Alive: timeout=5\r\nC: 3\r\n\r\n"
    )
    assert receiver.events[0] == ("head", 204, b"No Content", b"x-A: 1\r\nC: 3\r\n", True)


def test_an_interim_response_comes_before_the_final_one(bed: Bed) -> None:
    """RFC 9110 §15.2."""
    receiver = bed.send()
    bed.connection.data_received(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK)
    assert receiver.events == [("informational", 103, b"Early Hints", b"Link: </x>\r\n"), *EVENTS]


def test_a_response_to_head_has_no_body(bed: Bed) -> None:
    """RFC 9110 §9.3.2: its Content-Length announces nothing; the connection is reused."""
    for number in (1, 2):
        receiver = bed.send(head_only=True)
        bed.connection.data_received(OK.removesuffix(b"hi"))
        assert receiver.events == [EVENTS[0], EVENTS[2]]
        assert bed.pool.released == number


def test_an_upgrade_hands_the_transport_over(bed: Bed) -> None:
    """With the bytes that follow the head; no deadline applies from then on."""
    receiver = bed.send(upgradable=True)
    bed.connection.data_received(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nrest")
    ((kind, reason, _, rest),) = receiver.events
    assert (kind, reason, rest) == ("upgrade", b"Switching Protocols", b"rest")
    transport: object = bed.connection.detach()
    assert transport is bed.transport
    assert bed.connection.deadline == NEVER


def test_a_deadline_runs_only_while_the_server_is_awaited(bed: Bed) -> None:
    """Not while the client must send, and not while our own reader is paused."""
    bed.send()
    connection, settings = bed.connection, bed.settings
    assert connection.deadline == bed.ticker.next + settings.response_timeout
    connection.await_client()
    assert connection.deadline == NEVER
    connection.expect_answer()
    assert connection.deadline == bed.ticker.next + settings.response_timeout
    connection.data_received(OK[:-1])
    assert connection.deadline == bed.ticker.next + settings.idle_timeout
    connection.pause()
    assert connection.deadline == NEVER
    connection.resume()
    assert connection.deadline == bed.ticker.next + settings.idle_timeout
    assert bed.transport.calls == ["pause_reading", "resume_reading"]


@pytest.mark.parametrize(
    ("chunked", "sent"), [(True, b"3\r\none\r\n3\r\ntwo\r\n0\r\nName: value\r\n\r\n"), (False, b"onetwo")]
)
def test_the_connection_frames_the_body(bed: Bed, chunked: bool, sent: bytes) -> None:
    """A body with a length goes as it is; one without is chunked, and may have trailers."""
    bed.send(has_body=True, chunked=chunked)
    bed.transport.written = b""
    bed.connection.await_client()
    bed.connection.send_body(b"one")
    bed.connection.send_body(b"two")
    bed.connection.end_body([b"Name", b": ", b"value", b"\r\n"] if chunked else [])
    assert bed.transport.written == sent
    assert bed.connection.deadline == bed.ticker.next + bed.settings.response_timeout


def test_flow_control_reaches_the_receiver(bed: Bed) -> None:
    """It is ignored if no exchange runs."""
    bed.connection.pause_writing()
    receiver = bed.send()
    bed.connection.pause_writing()
    bed.connection.resume_writing()
    assert receiver.events == [("full",), ("drained",)]


def test_an_abandoned_exchange_ends_without_an_event(bed: Bed) -> None:
    """The receiver ended it, and the connection is not reused."""
    receiver = bed.send()
    bed.connection.abandon()
    bed.connection.connection_lost(None)
    assert receiver.events == []
    assert bed.pool.released == 0
    assert bed.transport.calls == ["abort"]


def test_an_exception_of_a_receiver_is_reported_and_ends_the_exchange(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange ends: an exception in the event loop would leave it without an end."""
    receiver = bed.send()

    def fail(data: bytes) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(receiver, "on_body", fail)
    bed.connection.data_received(OK)
    assert [str(error) for error in bed.pool.errors] == ["broken"]
    assert receiver.events[-1] == ("failure", UpstreamFailure.MALFORMED, False)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def settle(bed: Bed) -> None:
    """Run the event loop until no turn is left."""
    while len(bed.ticker.turns):
        bed.loop.run_until_complete(asyncio.sleep(0))


def test_a_large_chunked_response_is_processed_in_turns(bed: Bed) -> None:
    """The first step at once; nothing more is read until the rest was processed, and the receiver gets few pieces."""
    receiver = bed.send()
    bed.connection.data_received(CHUNKED + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n")
    body = [event[1] for event in receiver.events if event[0] == "body"]
    assert (len(body), len(body[0]) < 2000, bed.transport.calls) == (1, True, ["pause_reading"])
    settle(bed)
    body = [event[1] for event in receiver.events if event[0] == "body"]
    assert (b"".join(body), len(body) < 100) == (b"x" * 10_000, True)
    assert (receiver.events[-1], bed.transport.calls[-1]) == (("complete", b""), "resume_reading")
    assert (bed.pool.released, bed.pool.forgotten) == (1, 0)


def test_a_large_body_with_a_length_is_one_piece(bed: Bed) -> None:
    """It has no framing to be parsed, so its size costs nothing."""
    receiver = bed.send()
    bed.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 250_000)
    assert [len(event[1]) for event in receiver.events if event[0] == "body"] == [250_000]
    bed.connection.data_received(b"x" * 50_000)
    assert receiver.events[-1] == ("complete", b"")


def test_bytes_behind_a_large_response_end_the_connection(bed: Bed) -> None:
    """They belong to no request, and must not be taken for the response to the next one."""
    receiver = bed.send()
    bed.connection.data_received(CHUNKED + b"0\r\n\r\n" + OK * 1000)
    settle(bed)
    assert receiver.events[-1] == ("complete", b"")
    assert (bed.pool.released, bed.pool.forgotten) == (0, 1)


@pytest.mark.parametrize("ended", [True, False])
def test_an_end_behind_held_bytes_comes_after_them(bed: Bed, ended: bool) -> None:
    """TLS reports both at once: the response is complete if it ended, and a failure if the connection only broke."""
    receiver = bed.send()
    bed.connection.data_received(CHUNKED + b"1\r\nx\r\n" * 10_000 + (b"0\r\n\r\n" if ended else b""))
    bed.connection.eof_received()
    bed.connection.connection_lost(None)
    settle(bed)
    body = b"".join(event[1] for event in receiver.events if event[0] == "body")
    assert len(body) == 10_000
    assert receiver.events[-1][0] == ("complete" if ended else "failure")


def test_a_body_until_the_end_is_complete_after_held_bytes(bed: Bed) -> None:
    """Neither length nor chunks: it ends with the connection (RFC 9112 §6.3)."""
    receiver = bed.send()
    bed.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)
    bed.connection.eof_received()
    settle(bed)
    assert receiver.events[-1] == ("complete", b"")
    assert sum(len(event[1]) for event in receiver.events if event[0] == "body") == 100_000
