"""The requests of the corpus, sent with HTTP/2: nothing reaches the app that would not with HTTP/1.1."""

from __future__ import annotations

import asyncio
import re
from contextlib import closing

from fuzz import mutation
from harness.dataplane import Arrived, DataPlane
from hpack import Encoder
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, SettingsFrame

_REQUEST = re.compile(rb"([!-~]+) ([^ \r\n]*) HTTP/1\.1\r\n((?:[^:\r\n]*:[^\r\n]*\r\n)+)\r\n(.*)", re.DOTALL)
_OF_HTTP1 = {b"connection", b"transfer-encoding", b"upgrade", b"keep-alive", b"proxy-connection"}
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()


def _translate(request: bytes) -> bytes | None:
    """Return a request as the bytes of an HTTP/2 connection; None if HTTP/2 has no words for it."""
    match = _REQUEST.fullmatch(request)
    if match is None:
        return None
    method, target, head, body = match.groups()
    lines = [line.partition(b":") for line in head.split(b"\r\n")[:-1]]
    fields = [(name.lower(), value.strip(b" \t")) for name, _, value in lines]
    lengths = [value for name, value in fields if name == b"content-length"]
    if any(name in _OF_HTTP1 for name, _ in fields) or (body and lengths != [b"%d" % len(body)]):
        return None
    hosts = [value for name, value in fields if name == b"host"]
    section = [(b":method", method), (b":scheme", b"http"), (b":path", target)]
    if hosts:
        section.append((b":authority", hosts[0]))
    block = Encoder().encode([*section, *fields])
    first = HeadersFrame(1, block[:16_000], flags=[] if body else ["END_STREAM"])
    frames = [first, ContinuationFrame(1, block[16_000:], flags=["END_HEADERS"])]
    if body:
        frames.append(DataFrame(1, body, flags=["END_STREAM"]))
    return _PREFACE + b"".join(frame.serialize() for frame in frames)


def _content(request: Arrived) -> tuple[bytes, list[bytes], bytes]:
    """Return what an app reads: the request line, the fields whatever their case and order, and the body."""
    line, *fields = request.head.rstrip(b"\r\n").split(b"\r\n")
    names = [field.partition(b":") for field in fields]
    lower = sorted(name.lower() + b":" + value.strip() for name, _, value in names if name.lower() != b"x-request-id")
    return line, [field for field in lower if field != b"content-length:0"], request.body


async def _compare(plane: DataPlane, request: bytes, translated: bytes) -> tuple[bool, str]:
    """Return whether the request arrived with HTTP/2, and the difference to HTTP/1.1 if there is one."""
    plain, framed = await plane.run([request]), await plane.run([translated])
    if framed.faults:
        return False, f"{request!r}: {framed.faults}"
    if not framed.arrived:
        return False, ""
    if not plain.arrived or _content(plain.arrived[0]) != _content(framed.arrived[0]):
        return True, f"{request!r}: {plain.arrived[:1]} and {framed.arrived}"
    return True, ""


def test_the_app_cannot_tell_which_protocol_a_client_speaks() -> None:
    """A request that is refused with HTTP/1.1 is refused with HTTP/2, and one that is forwarded is the same."""

    async def run() -> tuple[int, list[str]]:
        arrived, differences = 0, []
        with closing(DataPlane()) as plane:
            for request in dict.fromkeys(mutation.requests()):
                translated = _translate(request)
                if translated is not None:
                    came, difference = await _compare(plane, request, translated)
                    arrived += came
                    differences += [difference] if difference else []
        return arrived, differences

    arrived, differences = asyncio.run(run())
    assert differences == []
    assert arrived >= 20


def test_no_request_of_http1_is_read_behind_the_preface() -> None:
    """The connection has changed its protocol, so that HTTP/1.1 there is only a fault."""

    async def run() -> None:
        request = b"GET /public/x HTTP/1.1\r\nHost: app\r\n\r\n"
        with closing(DataPlane()) as plane:
            for behind in (request, b"\r\n" + request):
                outcome = await plane.run([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + behind])
                assert (outcome.arrived, outcome.faults) == ([], [])
            assert len((await plane.run([request])).arrived) == 1

    asyncio.run(run())
