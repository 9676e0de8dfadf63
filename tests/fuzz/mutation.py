"""Makes inputs: seeds from the corpora of attacks, and small changes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from random import Random

from harness import corpora

_MOST = 8192  # bytes of an input; more finds nothing that less does not
_PLACE = re.compile(r"\$(ADM|BIG|R|W|X|N)")
_WORDS = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"\t", b"\x00", b":", b": ", b",", b";", b"0", b"1", b"ff", b"\xff"),
    *(b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b" RTSP/1.0"),
    *(b"/public/x", b"/admin", b"/api/x", b"/../", b"/./", b"//", b"..;", b"%2e%2e", b"%2f", b"%5c", b"%00", b"%25", b"\\", b"?", b"#"),
    *(b"%c0%ae", b"%ef%bc%8f", b"%61", b"*", b"http://app", b"http://evil", b"@"),
    *(b"Host: app\r\n", b"Host: evil\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length: 40\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Expect: 100-continue\r\n", b"TE: trailers\r\n"),
    *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n"),
    *(b"Authorization: Bearer R~1\r\n", b"Authorization: Bearer ADM~1\r\n", b"Authorization: Bearer X~1\r\n", b"Bearer ", b"~"),
    *(b"X-Auth-Subject: root\r\n", b"X_Auth_Scope: admin\r\n", b"X-Forwarded-For: 10.0.0.1\r\n", b"Trailer: X\r\n", b"X-Some: y\r\n"),
    *(b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nX-Some: y\r\n\r\n", b"5;x=y\r\n", b"GET /admin HTTP/1.1\r\nHost: app\r\n\r\n"),
    *(b"GET /public/x HTTP/1.1\r\nHost: app\r\n\r\n", b"POST /public/y HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\nabc"),
]  # fmt: skip


_GOOD = [
    b"GET /public/x HTTP/1.1\r\nHost: app\r\n\r\n",
    b"GET /api/x?y=z HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer R~1\r\nConnection: keep-alive, X-Some\r\nX-Some: y\r\n\r\n",
    b"POST /api/x HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer W~1\r\nContent-Length: 11\r\n\r\nhello world",
    b"POST /public/x HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Some: y\r\n\r\n",
    b"GET /admin/x HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer ADM~1\r\nX-Auth-Subject: root\r\n\r\n",
    b"GET http://app/public/x HTTP/1.1\r\nHost: app\r\nX-Forwarded-For: 10.0.0.1\r\nTE: trailers\r\n\r\n",
    b"GET /public/ws HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /public/y HTTP/1.1\r\nHost: app\r\n\r\n",
    b"PUT /public/x HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"HEAD /api/x HTTP/1.0\r\nConnection: keep-alive\r\nAuthorization: Bearer R~1\r\n\r\n",
]


def requests() -> list[bytes]:
    """Return the requests of the corpus, tokens filled in, and as many good ones."""
    numbers = count(1)
    seeds = []
    for _, case in corpora.requests():
        for variant in case.get("each", [""]):
            text = case["request"].replace("§", variant * min(case.get("times", 1), 50))
            tokens = {"BIG": "a" * min(case.get("big", 0), 100)}
            filled = _PLACE.sub(lambda at, tokens=tokens: tokens.setdefault(at[1], f"{at[1]}~{next(numbers)}"), text)
            seeds.append(filled.encode("latin-1"))
    return seeds + _GOOD * (len(seeds) // len(_GOOD))


def targets(seeds: Sequence[bytes]) -> list[bytes]:
    """Return the request-targets of requests."""
    return [line[1] for seed in seeds if len(line := seed.split(b"\r\n")[0].split(b" ")) == 3]


def answers() -> list[bytes]:
    """Return the upstream's answers of the corpus."""
    return [answer.encode("latin-1") for case in corpora.read("upstream") for answer in case["answers"] if answer]


class Mutator:
    """Changes seeds. All that it does follows from `random`."""

    def __init__(self, seeds: Sequence[bytes], random: Random) -> None:
        self._seeds = seeds
        self._random = random
        self._changes: list[Callable[[bytes], bytes]] = [
            self._flip, self._insert, self._insert, self._replace, self._delete, self._double, self._splice, self._append,
            self._swap_case, self._cut,
        ]  # fmt: skip

    def next(self) -> bytes:
        """Return the next input: a seed, or more often one that was changed a little."""
        data = self._random.choice(self._seeds)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
            data = self._random.choice(self._changes)(data)
        return data[:_MOST]

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut an input into packets: a few, or, now and then, one for each byte."""
        if self._random.random() < 0.1:
            return [data[at : at + 1] for at in range(len(data))]
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.randint(0, 6)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]

    def _place(self, data: bytes) -> int:
        return self._random.randrange(len(data) + 1)

    def _range(self, data: bytes) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self._random.choice((1, 1, 2, 4, 16, 64)))

    def _flip(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + bytes([self._random.randrange(256)]) + data[at + 1 :]

    def _insert(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + self._random.choice(_WORDS) + data[at:]

    def _replace(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + self._random.choice(_WORDS) + data[end:]

    def _delete(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + data[end:]

    def _double(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:end] + data[start:end] * self._random.choice((1, 1, 2, 20)) + data[end:]

    def _splice(self, data: bytes) -> bytes:
        other = self._random.choice(self._seeds)
        return data[: self._place(data)] + other[self._place(other) :]

    def _append(self, data: bytes) -> bytes:
        return data + self._random.choice(self._seeds)

    def _swap_case(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + data[start:end].swapcase() + data[end:]

    def _cut(self, data: bytes) -> bytes:
        return data[: self._place(data)]
