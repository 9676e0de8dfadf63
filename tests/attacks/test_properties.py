"""Properties of arbitrary bytes: the matched target is the forwarded one, and packet boundaries have no effect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.heads import is_unambiguous, reaches_admin
from harness.testbed import ResponseReader, Testbed, connect, run_testbed
from hypothesis import example, given, settings
from hypothesis import strategies as st

_REFUSALS = {400, 401, 403, 414, 431, 501, 505}
_PIECES = [
    *("/", "//", ".", "..", "/public/", "public", "/admin", "admin", "/api/", "x", "..;", "/./", "/../", "?", "#", "%"),
    *(
        "%2e",
        "%2E%2e",
        "%2f",
        "%5C",
        "%25",
        "%252e",
        "%00",
        "%3b",
        "%c0%ae",
        "%e2%80%8b",
        "%ef%bc%8f",
        "%61dmin",
        "%20",
    ),
    *("http://app", "http://evil", "https://", "@", ":", "+", "&", "=", "~", "{x}", "'", "|", "\\", ";", "*"),
    *(" ", "\t", "\r", "\n", "\x00", "\x7f", "\xe4", "\xa0"),
]
_TARGETS = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=8).map(lambda pieces: "".join(pieces).encode("latin-1")),
    st.tuples(st.just(b"/public/"), st.binary(max_size=12)).map(b"".join),
    st.tuples(st.just(b"/public/"), st.text("abc%.;/2eEfF5cC?#~", max_size=12).map(str.encode)).map(b"".join),
)
_CREDENTIALS = st.sampled_from(["", "Authorization: Bearer R~property\r\n", "Authorization: Bearer ADM~property\r\n"])

_REQUESTS = {
    b"GET /public/a HTTP/1.1\r\nHost: app\r\n\r\n": ("GET /public/a", b"", b""),
    b"GET http://app/public/b?c HTTP/1.1\r\nHost: app\r\nX-Auth-Subject: root\r\n\r\n": ("GET /public/b?c", b"", b""),
    b"POST /public/c HTTP/1.1\r\nHost: app\r\nContent-Length: 12\r\n\r\nhello\r\n\r\nyou": (
        "POST /public/c",
        b"hello\r\n\r\nyou",
        b"",
    ),
    b"POST /public/d HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5;x="y"\r\nhello\r\n0003\r\n\r\n0\r\n0\r\nX-Sum: 1\r\nX-Auth-Subject: root\r\n\r\n': (
        "POST /public/d",
        b"hello\r\n0",
        b"X-Sum: 1\r\n",
    ),
    b"PUT /public/e HTTP/1.1\r\nHost: app\r\nConnection: Upgrade, X-Gone\r\nUpgrade: h2c\r\nX-Gone: y\r\n"
    b"Content-Length: 3\r\n\r\nabc": ("PUT /public/e", b"abc", b""),
    b"GET /api/f HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer R~split\r\n\r\n": ("GET /api/f", b"", b""),
    b"GET /admin HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer R~split\r\n\r\n": None,
}
"""Requests with the request line, body and trailers that must reach the upstream, or None if nothing must."""


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with run_testbed() as running:
        yield running


@settings(max_examples=400)
@given(target=_TARGETS, credentials=_CREDENTIALS)
@example(target=b"/public/../admin", credentials="")
@example(target=b"http://app/public/x", credentials="")
@example(target=b" /public/x ", credentials="")
@example(target=b"", credentials="")
def test_target_is_refused_or_forwarded_unchanged(testbed: Testbed, target: bytes, credentials: str) -> None:
    """The upstream gets nothing or exactly the target's bytes, and no `/admin` without a token for it."""
    before = len(testbed.upstream.heads)
    with connect(testbed.enforcer.port) as connection:
        head = f" HTTP/1.1\r\nHost: app\r\nConnection: close\r\n{credentials}\r\n".encode()
        connection.sendall(b"GET " + target + head)
        status = ResponseReader(connection).next()[0]
    heads = testbed.upstream.heads[before:]
    if status != 200:
        assert status in _REFUSALS
        assert heads == []
        return
    assert len(heads) == 1
    assert is_unambiguous(heads[0])
    assert not reaches_admin(heads[0])
    forwarded = heads[0].split(b" ")[1]
    sent = target.strip(b" ")
    assert sent in (forwarded, b"http://app" + forwarded, b"https://app" + forwarded)


@settings(max_examples=80)
@given(data=st.data(), requests=st.lists(st.sampled_from(list(_REQUESTS)), min_size=1, max_size=5))
def test_packet_boundaries_have_no_effect(testbed: Testbed, data: st.DataObject, requests: list[bytes]) -> None:
    """However the bytes are cut into packets, the upstream gets the same requests in the same order."""
    before = len(testbed.upstream.requests)
    stream = b"".join(requests)
    cuts = data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=20).map(sorted))
    with connect(testbed.enforcer.port) as connection:
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            connection.sendall(stream[start:end])
        responses = ResponseReader(connection)
        statuses = [responses.next()[0] for _ in requests]
    expected = [_REQUESTS[request] for request in requests]
    assert statuses == [403 if message is None else 200 for message in expected]
    heads = [head for head, _ in testbed.upstream.requests[before:]]
    bodies = [body for _, body in testbed.upstream.requests[before:]]
    lines = [head.partition(b" HTTP/1.1")[0].decode() for head in heads]
    messages = list(zip(lines, bodies, testbed.upstream.trailers[before:], strict=True))
    assert messages == [message for message in expected if message]
    assert all(map(is_unambiguous, heads))
