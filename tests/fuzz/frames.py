"""Makes HTTP/2 connections: frames in any order, mostly with requests in them, and some bytes changed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from fuzz import mutation
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MAX_SIZE = 8192
_PATHS = (b"/public/x", b"/api/x", b"/admin/x", b"/public/../admin", b"/public/%2e%2e/admin", b"*", b"http://app/admin")
_TOKENS = (b"R", b"W", b"X", b"ADM", b"N")
_FIELDS = (
    *((b"content-length", b"5"), (b"content-length", b"0"), (b"te", b"trailers"), (b"expect", b"100-continue")),
    *((b"cookie", b"a=b"), (b"host", b"app"), (b"host", b"evil"), (b"connection", b"x-some"), (b"upgrade", b"h2c")),
    *((b"transfer-encoding", b"chunked"), (b"x-auth-subject", b"root"), (b"x_auth_scope", b"admin")),
    *(
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"x-some", b"y\r\nx-auth-subject: root"),
        (b"x-some", b"y"),
        (b"X-Some", b"y"),
    ),
    *((b":path", b"/admin"), (b":protocol", b"websocket"), (b"client-cert", b":AA==:"), (b"max-forwards", b"0")),
)


class FrameMutator:
    """Makes the bytes of connections; deterministic for a given `random`."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._bytes = mutation.Mutator([b""], random)
        self._makers: list[Callable[[], list[Frame]]] = [
            *(self._request, self._request, self._request, self._request, self._request, self._request),
            *(self._data, self._data, self._data, self._trailers, self._reset, self._credit, self._settings),
            self._other,
        ]

    def next(self) -> bytes:
        """Return the bytes of the next connection."""
        random = self._random
        self._encoder = Encoder()
        self._stream = -1
        self._numbers = 0
        frames: list[Frame] = [SettingsFrame(0), *self._request()]
        for _ in range(random.choice((1, 2, 4, 8, 20))):
            frames += random.choice(self._makers)()
        data = b"".join(frame.serialize() for frame in frames)
        if random.random() < 0.4:
            for _ in range(random.choice((1, 1, 2, 5))):
                data = self._bytes.change(data)
        return PREFACE + data[:_MAX_SIZE]

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut a connection into packets."""
        return self._bytes.pieces(data)

    def _number(self) -> int:
        if self._random.random() < 0.8:
            return max(self._stream, 0)
        return self._random.choice((0, 1, 2, self._stream + 2))

    def _request(self) -> list[Frame]:
        random = self._random
        self._stream += 2
        self._numbers += 1
        fields = [
            (b":method", self._mostly(b"GET", b"POST", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"G T")),
            (b":scheme", self._mostly(b"http", b"https", b"ftp")),
            (b":authority", self._mostly(b"app", b"evil", b"a b")),
            (b":path", self._mostly(*_PATHS)),
        ]
        if random.random() < 0.5:
            fields.append((b"authorization", b"Bearer %b~%d" % (random.choice(_TOKENS), self._numbers)))
        fields += random.sample(_FIELDS, random.choice((0, 0, 1, 2)))
        if random.random() < 0.1:
            fields.pop(random.randrange(len(fields)))
        return self._section(fields, ends=random.random() < 0.6)

    def _mostly(self, usual: bytes, *others: bytes) -> bytes:
        return usual if self._random.random() < 0.7 else self._random.choice(others)

    def _trailers(self) -> list[Frame]:
        return self._section([(b"x-end", b"1"), self._random.choice(_FIELDS)], ends=self._random.random() < 0.9)

    def _section(self, fields: list[tuple[bytes, bytes]], *, ends: bool) -> list[Frame]:
        block = self._encoder.encode(fields, huffman=self._random.random() < 0.5)
        head = HeadersFrame(self._stream, block, flags=["END_STREAM"] if ends else [])
        if self._random.random() < 0.8:
            head.flags.add("END_HEADERS")
            return [head]
        head.data = block[:3]
        return [head, ContinuationFrame(self._stream, block[3:], flags=["END_HEADERS"])]

    def _data(self) -> list[Frame]:
        random = self._random
        flags = [flag for flag in ("END_STREAM", "PADDED") if random.random() < 0.4]
        return [DataFrame(self._number() or 1, b"hello"[: random.randint(0, 5)], pad_length=3, flags=flags)]

    def _reset(self) -> list[Frame]:
        return [RstStreamFrame(self._number() or 1, error_code=self._random.randint(0, 20))]

    def _credit(self) -> list[Frame]:
        return [WindowUpdateFrame(self._number(), window_increment=self._random.choice((1, 1000, 2**31 - 1)))]

    def _settings(self) -> list[Frame]:
        value = self._random.choice((0, 1, 100, 16_384, 65_535, 2**31 - 1))
        return [SettingsFrame(0, settings={self._random.randint(0, 9): value})]

    def _other(self) -> list[Frame]:
        number = self._number() or 1
        if self._random.random() < 0.7:
            return [PingFrame(0)]
        frames: list[Frame] = [
            PingFrame(0, opaque_data=b"12345678"),
            PriorityFrame(number, depends_on=self._number(), stream_weight=3),
            GoAwayFrame(0, last_stream_id=0, error_code=self._random.randint(0, 14)),
            PushPromiseFrame(number, 2, b"\x82", flags=["END_HEADERS"]),
            ContinuationFrame(number, b"\x82", flags=["END_HEADERS"]),
            ExtensionFrame(0xF0, number, body=b"x"),
            SettingsFrame(0, flags=["ACK"]),
        ]
        return [self._random.choice(frames)]
