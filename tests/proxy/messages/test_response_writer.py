"""Response writers: the bytes of a response, by what its exchange said of it."""

from __future__ import annotations

import pytest
from harness.playbook import Pipe

from enforcer.proxy.messages import responses
from enforcer.proxy.messages.response_writer import Http1Writer

X: list[bytes] = [b"X", b": ", b"y", b"\r\n"]


def test_each_response_has_its_own_status_line() -> None:
    """Also if only the status, or only the reason phrase, is another one than before."""
    pipe = Pipe()
    writer = Http1Writer(pipe)
    for status, reason in ((200, b"OK"), (201, b"OK"), (201, b"Created"), (200, b"OK"), (200, b""), (200, b"a\x00")):
        writer.begin(status, reason, [], sized=True, closes=False, http10=False)
        writer.end([])
        shown = b"" if b"\x00" in reason else reason  # RFC 9112 §4: such a byte is not part of a reason phrase
        assert pipe.take() == b"HTTP/1.1 %d %b\r\n\r\n" % (status, shown)


@pytest.mark.parametrize(
    ("sized", "closes", "http10", "fields", "body"),
    [
        (True, False, False, b"", b"abcd"),
        (True, True, False, b"Connection: close\r\n", b"abcd"),
        (True, False, True, b"Connection: keep-alive\r\n", b"abcd"),
        (False, False, False, b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n2\r\ncd\r\n0\r\nX: y\r\n\r\n"),
        (False, True, True, b"Connection: close\r\n", b"abcd"),
    ],
)
def test_a_response_is_framed_for_its_client(
    *, sized: bool, closes: bool, http10: bool, fields: bytes, body: bytes
) -> None:
    """By its length, in chunks, or for an HTTP/1.0 client by the end of the connection; only chunks have trailers."""
    pipe = Pipe()
    writer = Http1Writer(pipe)
    writer.begin(200, b"OK", X, sized=sized, closes=closes, http10=http10)
    writer.add(b"ab")
    assert pipe.written == b""
    writer.flush()
    writer.add(b"cd")
    writer.end(X)
    assert pipe.written == b"HTTP/1.1 200 OK\r\nX: y\r\n%b\r\n%b" % (fields, body)


def test_nothing_is_written_if_nothing_was_added() -> None:
    """A flush between two pieces costs no write."""
    pipe = Pipe()
    writer = Http1Writer(pipe)
    writer.begin(204, b"No Content", [], sized=True, closes=False, http10=False)
    writer.flush()
    pipe.take()
    writer.flush()
    writer.end([])
    assert pipe.written == b""


def test_other_responses_are_written_at_once() -> None:
    """Interim ones, upgrades and our own."""
    pipe = Pipe()
    writer = Http1Writer(pipe)
    writer.write_informational(103, b"Early Hints", X)
    assert pipe.take() == b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"
    writer.write_upgrade(b"Switching", X, b"websocket")
    assert pipe.take() == b"HTTP/1.1 101 Switching\r\nX: y\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    writer.write_own(responses.TIMEOUT, b"", closes=True, head_only=True, http10=False, request_id=b"1")
    assert pipe.take() == responses.TIMEOUT.render(b"", close=True, head_only=True, request_id=b"1")


def test_a_response_can_be_replaced_until_it_is_written() -> None:
    """An app may show in its body that the response is not valid HTTP."""
    pipe = Pipe()
    writer = Http1Writer(pipe)
    assert not writer.withdraw()
    writer.begin(200, b"OK", [], sized=False, closes=False, http10=False)
    writer.add(b"ab")
    assert writer.withdraw()
    writer.begin(201, b"Created", [], sized=False, closes=False, http10=False)
    writer.flush()
    assert not writer.withdraw()
    writer.add(b"cd")
    assert not writer.withdraw()
    writer.end([])
    assert pipe.written == b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ncd\r\n0\r\n\r\n"
