"""The fields of an exchange with an HTTP/2 app."""

from __future__ import annotations

from enforcer.wire.http2.exchange_fields import NO_LENGTH, ResponseHead, request_fields


def test_a_request_head_becomes_a_field_section() -> None:
    """Pseudo-header fields first, names in lower case, no whitespace around values; TE stays for gRPC."""
    head = (
        b"POST /a?b=c HTTP/1.1\r\nAccept: */*\r\nHost: app.test:1\r\nX-Name:  a: b \r\nTE: trailers\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: TE\r\nUpgrade: websocket\r\n\r\n"
    )
    assert request_fields(head, b"https") == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"app.test:1"),
        (b":path", b"/a?b=c"),
        (b"accept", b"*/*"),
        (b"x-name", b"a: b"),
        (b"te", b"trailers"),
    ]


def test_a_response_head_has_its_lines_and_its_length() -> None:
    """The lines are in pieces, as those of HTTP/1.1."""
    head = ResponseHead([(b":status", b"200"), (b"a", b"b"), (b"content-length", b"3")])
    assert (head.status, b"".join(head.lines), head.length) == (200, b"a: b\r\ncontent-length: 3\r\n", 3)
    assert ResponseHead([(b":status", b"404")]).length == NO_LENGTH


def test_a_field_for_the_proxy_is_dropped_from_a_response() -> None:
    """It does not make the response malformed: RFC 9113 §8.2.2 does not name it."""
    head = ResponseHead([(b":status", b"407"), (b"proxy-authenticate", b"Basic"), (b"a", b"b")])
    assert b"".join(head.lines) == b"a: b\r\n"
