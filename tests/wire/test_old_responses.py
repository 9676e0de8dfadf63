"""The response heads of old apps."""

from __future__ import annotations

import pytest

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
