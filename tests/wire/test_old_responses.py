"""The response heads of old apps."""

from __future__ import annotations

import httptools
import pytest

from enforcer.wire.connection import new_response_parser
from enforcer.wire.old_responses import rewrite_head


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        (b"HTTP/1.0 200 OK\nA: b\nContent-Length: 2\n\nok", b"HTTP/1.0 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok"),
        (b"HTTP/1.0 200 OK\n\nok\n\n", b"HTTP/1.0 200 OK\r\n\r\nok\n\n"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\ncontent-length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Identity\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
    ],
)
def test_a_head_with_one_reading_is_written_as_http_wants_it(sent: bytes, written: bytes) -> None:
    """The bytes behind it stay."""
    assert rewrite_head(sent) == written


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: b\nSet-Cookie: c\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\nB: c\n\n",
        b"HTTP/1.1 200 OK\nA: b\rB: c\n\n",
        b"HTTP/1.1 200 OK\n folded\n\n",
        b"HTTP/1.1 200 OK\nA : b\n\n",
        b"HTTP/1.1 200 OK\nno field\n\n",
        b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n",
        b"",
    ],
)
def test_a_head_that_readers_understand_differently_is_not_written(sent: bytes) -> None:
    """Nor one that is not complete."""
    assert rewrite_head(sent) is None


class _Body:
    """Collects the body of a response."""

    def __init__(self) -> None:
        self.data = b""

    def on_body(self, data: bytes) -> None:
        self.data += data


def read_chunks(chunks: bytes, *, split: bool) -> bytes:
    """Return the body of a chunked response; `split`: it comes byte by byte."""
    body = _Body()
    parser = new_response_parser(body)
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    for piece in [bytes((byte,)) for byte in response] if split else [response]:
        parser.feed_data(piece)
    return body.data


@pytest.mark.parametrize("split", [False, True])
def test_spaces_behind_the_size_of_a_chunk_are_ignored(split: bool) -> None:
    """Between two digits, and before the size, they are not: readers differ in what the size is then."""
    for chunks in (b"5   \r\nhello\r\n0  \r\n\r\n", b"5\t\r\nhello\r\n0\r\n\r\n", b"5 ;a=b\r\nhello\r\n0\r\n\r\n"):
        assert read_chunks(chunks, split=split) == b"hello"
    for chunks in (b"5 5\r\n", b" 5\r\n", b"5 x\r\n", b"5\nhello\n0\n\n", b"5\r\nhello\n0\r\n\r\n", b"5 \nhello"):
        with pytest.raises(httptools.HttpParserError):
            read_chunks(chunks, split=split)
