"""Heads of HTTP/2 requests: the same value as of an HTTP/1.1 request, or malformed."""

from __future__ import annotations

import pytest

from enforcer.errors import MalformedRequestError
from enforcer.proxy.http2.head import read_head
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import HeadBuilder, RequestHead
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.settings.limits import Limits

FORWARDING = Forwarding(ForwardingSettings())
Fields = list[tuple[bytes, bytes]]
GET: Fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"app"), (b":path", b"/thing?a=b")]
CONNECT: Fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
POST: Fields = [(b":method", b"POST"), *GET[1:]]


def read(section: Fields, *, has_body: bool = False, limits: Limits | None = None, key: bytes = b"key") -> RequestHead:
    """Return the head of a field section."""
    return read_head(
        HeadBuilder(FORWARDING), section, FORWARDING, limits or Limits(), has_body=has_body, websocket_key=key
    )


def lines(head: RequestHead) -> list[tuple[bytes, bytes]]:
    """Return the fields of a head that may be forwarded."""
    return [(head.lines[index], head.lines[index + 2]) for index in range(0, len(head.lines), 4)]


def test_the_pseudo_header_fields_are_the_request_line_and_host() -> None:
    """Fields that need reading are read, and others forwarded as they are."""
    head = read([*GET, (b"authorization", b"Bearer x"), (b"x-a", b"b"), (b"max-forwards", b"3")])
    assert (head.method, head.target, head.host) == (b"GET", b"/thing?a=b", b"app")
    assert (head.authorization, head.has_body, head.keep_alive, head.refusal) == (b"Bearer x", False, True, None)
    assert lines(head)[:2] == [(b"Host", b"app"), (b"authorization", b"Bearer x")]
    assert (b"x-a", b"b") in lines(head)


def test_host_stands_in_for_the_authority() -> None:
    """RFC 9113 §8.3.1; without either there is no host, which is refused as in HTTP/1.1."""
    section = [*GET[:2], GET[3]]
    assert read([*section, (b"host", b"app")]).host == b"app"
    assert read([*GET, (b"host", b"APP")]).host == b"app"
    assert read(section).refusal is not None


def test_pieces_of_a_cookie_are_joined() -> None:
    """RFC 9113 §8.2.3: HTTP/1.1 has one Cookie field."""
    head = read([*GET, (b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d")])
    assert lines(head)[1:] == [(b"cookie", b"a=b; c=d"), (b"x", b"y")]


@pytest.mark.parametrize(
    ("section", "has_body", "framing", "chunked"),
    [
        (POST, True, b"Transfer-Encoding: chunked\r\n", True),
        ([*POST, (b"content-length", b"3")], True, b"Content-Length: 3\r\n", False),
        ([*POST, (b"content-length", b"0")], False, b"Content-Length: 0\r\n", False),
        (POST, False, b"Content-Length: 0\r\n", False),
        (GET, False, b"", False),
        (
            [*POST, (b"te", b"trailers")],
            True,
            b"Transfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n",
            True,
        ),
    ],
)
def test_the_body_is_framed_for_http1(section: Fields, framing: bytes, *, has_body: bool, chunked: bool) -> None:
    """By its length if the client names it, else in chunks."""
    head = read(section, has_body=has_body)
    assert (head.framing, head.has_body, head.chunked, head.refusal) == (framing, has_body, chunked, None)


@pytest.mark.parametrize(
    "section",
    [
        *(GET[1:], GET[:1] + GET[2:], GET[:3]),
        *([*GET, GET[0]], [*GET, (b":protocol", b"websocket")], [(b"x", b"y"), *GET]),
        *([*CONNECT[:2], *CONNECT[3:]], [*CONNECT[:3], CONNECT[4]], CONNECT[:4], [*CONNECT, CONNECT[1]]),
        [*CONNECT, (b"content-length", b"0")],
        *([*GET[:3], (b":path", b"thing")], [*GET[:3], (b":path", b"")], [*GET[:3], (b":path", b"*")]),
        *([*GET[:3], (b":path", b"/a b")], [*GET[:3], (b":path", b"/a HTTP/1.1\r\nx: y")]),
        *([*GET[:3], (b":path", b"http://other/")], [*GET[:3], (b":path", b"/\xe4")]),
        *([(b":method", b"G T"), *GET[1:]], [(b":method", b""), *GET[1:]]),
        [*GET[:1], (b":scheme", b"ftp"), *GET[2:]],
        *([(b":method", b"CONNECT"), *GET[1:]], [(b":method", b"CONNECT")]),
        *([*GET, (b"host", b"other")], [*GET, (b"host", b"app"), (b"host", b"app")]),
        *([*GET, (b"X", b"y")], [*GET, (b"x", b"a\r\nb")], [*GET, (b"connection", b"close")]),
        *([*GET, (b"transfer-encoding", b"chunked")], [*GET, (b"upgrade", b"h2c")], [*GET, (b"te", b"gzip")]),
        *([*GET, (b"proxy-connection", b"a")], [*GET, (b"content-length", b"3")]),
    ],
)
def test_malformed_requests_are_not_read(section: Fields) -> None:
    """RFC 9113 §8.1.1, §8.2, §8.3: each of these could be another request behind HTTP/1.1."""
    with pytest.raises(MalformedRequestError):
        read(section)


def test_credentials_for_a_proxy_are_dropped() -> None:
    """As with HTTP/1.1: they are not the app's. They make no request malformed (RFC 9113 §8.2.2)."""
    head = read([*GET, (b"proxy-authorization", b"Bearer t"), (b"a", b"b")])
    assert (head.refusal, head.authorization) == (None, None)
    assert b"".join(head.lines).endswith(b"a: b\r\n")
    assert b"Bearer" not in b"".join(head.lines)


@pytest.mark.parametrize(
    ("section", "refusal"),
    [
        ([*GET, *[(b"x", b"y")] * 101], responses.HEAD_TOO_LARGE),
        ([*GET, (b"x", b"y" * 40_000)], responses.HEAD_TOO_LARGE),
        ([*GET[:3], (b":path", b"/" + b"a" * 9000)], responses.TARGET_TOO_LONG),
        ([*POST, (b"content-length", b"9" * 12)], responses.TOO_LARGE),
    ],
)
def test_the_limits_are_those_of_http1(section: Fields, refusal: object) -> None:
    """A refusal has a status, as there."""
    assert read(section, has_body=section[0] == POST[0]).refusal is refusal


@pytest.mark.parametrize("method", [b"get", b"XYZ", b"G"])
def test_methods_that_http1_does_not_know_are_refused(method: bytes) -> None:
    """Apps may take `get` for GET."""
    refusal = read([(b":method", method), *GET[1:]]).refusal
    assert refusal is not None
    assert refusal.status == 501


def test_connect_names_its_authority() -> None:
    """It is read, and no rule allows it."""
    assert read([(b":method", b"CONNECT"), (b":authority", b"app:443")], has_body=True).target == b"app:443"


def test_a_request_for_a_websocket_is_a_get() -> None:
    """RFC 8441 §5: HTTP/1.1's fields of the handshake are ours."""
    head = read([*CONNECT, (b"sec-websocket-key", b"theirs"), (b"sec-websocket-version", b"8")], has_body=True)
    assert (head.method, head.target, head.host, head.upgrade) == (b"GET", b"/thing?a=b", b"app", b"websocket")
    assert (head.has_body, head.framing) == (False, b"Upgrade: websocket\r\nConnection: Upgrade\r\n")
    assert lines(head) == [(b"Host", b"app"), (b"sec-websocket-version", b"8"), (b"Sec-WebSocket-Key", b"key")]
    assert (b"Sec-WebSocket-Version", b"13") in lines(read(CONNECT))


@pytest.mark.parametrize(
    ("section", "key"), [(CONNECT, b""), ([CONNECT[0], (b":protocol", b"h2c"), *CONNECT[2:]], b"key")]
)
def test_another_tunnel_is_refused(section: Fields, key: bytes) -> None:
    """Nothing but a WebSocket, and none if this door has none."""
    refusal = read(section, key=key).refusal
    assert refusal is not None
    assert refusal.status == 501
