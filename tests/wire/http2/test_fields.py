"""Field lines of HTTP/1.1 and field sections of HTTP/2: nothing that one cannot say reaches the other."""

from __future__ import annotations

import pytest

from enforcer.wire.http2.fields import read_trailers, write_fields


def test_trailers_become_lines_and_lines_become_fields() -> None:
    """Names in lower case, values without the whitespace around them."""
    assert read_trailers([(b"grpc-status", b"0"), (b"x", b"")]) == [
        *(b"grpc-status", b": ", b"0", b"\r\n"),
        *(b"x", b": ", b"", b"\r\n"),
    ]
    assert write_fields([b"X-Name", b": ", b" a b\t", b"\r\n"]) == [(b"x-name", b"a b")]


@pytest.mark.parametrize(
    "field",
    [
        *((b"X", b"a"), (b"", b"a"), (b"x y", b"a"), (b":path", b"/"), (b"x\n", b"a")),
        *((b"connection", b"a"), (b"transfer-encoding", b"chunked"), (b"keep-alive", b"1"), (b"upgrade", b"a")),
        *((b"x", b"a\r\nb: c"), (b"x", b"a\0"), (b"x", b" a"), (b"x", b"a "), (b"x", b"a\x7f")),
    ],
)
def test_malformed_fields_are_not_read(field: tuple[bytes, bytes]) -> None:
    """RFC 9113 §8.2.1, §8.2.2: an HTTP/1.1 message must not be made of them."""
    assert read_trailers([(b"a", b"b"), field]) is None
