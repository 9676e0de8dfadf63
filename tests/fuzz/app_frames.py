"""Makes what an HTTP/2 app sends: frames that mostly respond to the requests of `run`, and some bytes changed."""

from __future__ import annotations

from random import Random

from fuzz import mutation
from harness.shared_connections import Bed, Exchange
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

_MAX_SIZE = 8192
_STREAMS = (1, 3, 5)
_FIELDS = (
    *((b"content-length", b"5"), (b"content-length", b"0"), (b"content-length", b"x"), (b"x-some", b"y")),
    *((b"connection", b"close"), (b"transfer-encoding", b"chunked"), (b"X-Some", b"y"), (b"te", b"trailers")),
    *((b"x-some", b"y\r\nset-cookie: a=b"), (b":path", b"/"), (b"grpc-status", b"0"), (b"upgrade", b"h2c")),
)


class AppFrameMutator:
    """Makes the bytes of an app; deterministic for a given `random`."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._bytes = mutation.Mutator([b""], random)
        self._encoder = Encoder()

    def next(self) -> bytes:
        """Return what the app sends behind its first SETTINGS."""
        random = self._random
        self._encoder = Encoder()
        frames: list[Frame] = []
        for _ in range(random.choice((1, 2, 4, 8, 20))):
            frames += random.choice((self._head, self._head, self._data, self._data, self._other))()
        data = b"".join(frame.serialize() for frame in frames)
        if random.random() < 0.4:
            for _ in range(random.choice((1, 1, 2, 5))):
                data = self._bytes.change(data)
        return data[:_MAX_SIZE]

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut the bytes into packets."""
        return self._bytes.pieces(data)

    def _head(self) -> list[Frame]:
        random = self._random
        status = random.choice((b"200", b"200", b"200", b"204", b"304", b"100", b"101", b"2"))
        fields = [(b":status", status), *random.sample(_FIELDS, random.choice((0, 0, 1, 2)))]
        if random.random() < 0.2:
            fields.pop(0)  # a trailer section
        flags = ["END_STREAM"] if random.random() < 0.4 else []
        head = HeadersFrame(random.choice(_STREAMS), self._encoder.encode(fields), flags=flags)
        if random.random() < 0.8:
            head.flags.add("END_HEADERS")
            return [head]
        block, head.data = head.data, head.data[:3]
        return [head, ContinuationFrame(head.stream_id, block[3:], flags=["END_HEADERS"])]

    def _data(self) -> list[Frame]:
        random = self._random
        flags = [flag for flag in ("END_STREAM", "PADDED") if random.random() < 0.4]
        return [DataFrame(random.choice(_STREAMS), b"hello"[: random.randint(0, 5)], pad_length=3, flags=flags)]

    def _other(self) -> list[Frame]:
        random = self._random
        number = random.choice((0, *_STREAMS, 2, 7))
        frames: list[Frame] = [
            RstStreamFrame(number or 1, error_code=random.randint(0, 20)),
            WindowUpdateFrame(number, window_increment=random.choice((1, 1000, 2**31 - 1))),
            SettingsFrame(0, settings={random.randint(0, 9): random.choice((0, 1, 100, 16_384, 65_535, 2**31 - 1))}),
            PingFrame(0, opaque_data=b"12345678"),
            GoAwayFrame(0, last_stream_id=random.choice((0, 1, 3, 2**31 - 1)), error_code=random.randint(0, 14)),
            PushPromiseFrame(number or 1, 2, b"\x82", flags=["END_HEADERS"]),
        ]
        return [random.choice(frames)]


async def violations(pieces: list[bytes]) -> list[str]:
    """Return the properties that the exchanges with an app which sends these packets violate."""
    bed = Bed(settings={"connections": 3})
    try:
        exchanges = [await bed.begin(str(number), has_body=number == 2) for number in range(3)]
        exchanges[2].stream.send_body(b"some")
        server = bed.servers[0]
        for piece in pieces:
            server.pipe.receive(piece)
            await bed.settle()
        server.pipe.protocol.connection_lost(None)
        await bed.settle()
        violated = [repr(report) for report in bed.reports]
        for exchange in exchanges:
            violated += _of_exchange(exchange)
        others = [await bed.begin(f"other {number}") for number in range(2)]
        if any(other.carrier is None for other in others):
            violated.append("the place of an exchange that has ended is not free")
        return violated
    finally:
        bed.close()


def _of_exchange(exchange: Exchange) -> list[str]:
    events = exchange.events
    kinds = [event[0] if isinstance(event, tuple) else event for event in events]
    ends = [kind for kind in kinds if kind in ("complete", "failure")]
    violated = [] if len(ends) == 1 and kinds[-1] in ends else [f"not exactly one end, which comes last: {kinds}"]
    heads = [event for event in events if isinstance(event, tuple) and len(event) == 4 and isinstance(event[0], int)]
    if "complete" in ends and len(heads) != 1:
        violated.append(f"complete with {len(heads)} heads")
    for head in heads:
        if b"set-cookie" in head[2].lower().replace(b"x-some", b"") or head[2].count(b"\n") != head[2].count(b"\r\n"):
            violated.append(f"a field that the app did not send: {head[2]!r}")
        length = [line for line in head[2].split(b"\r\n") if line.startswith(b"content-length: ")]
        body = sum(len(event) for event in events if isinstance(event, bytes))
        if length and "complete" in ends and head[0] not in (204, 304) and body != int(length[0][16:]):
            violated.append(f"a body of {body} bytes for {length[0]!r}")
    return violated
