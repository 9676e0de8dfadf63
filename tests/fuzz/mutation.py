"""Makes inputs: seeds from the attack corpora, with small changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from random import Random

import yaml
from harness import corpora

_MAX_SIZE = 8192  # bytes of an input; larger ones find nothing new
_PLACEHOLDER = re.compile(r"\$(ADM|BIG|R|W|X|N|K|C)")
SEEDS = yaml.safe_load((Path(__file__).parent / "seeds.yaml").read_text())
_WORDS: list[bytes] = [text.encode("latin-1") for text in SEEDS["words"]]
_GOOD: list[bytes] = [text.encode("latin-1") for text in SEEDS["good"]]


def requests() -> list[bytes]:
    """Return the requests of the corpus with tokens filled in, and as many valid ones."""
    numbers = count(1)
    seeds = []
    for _, case in corpora.requests():
        for variant in case.get("each", [""]):
            text = case["request"].replace("§", variant * min(case.get("times", 1), 50))
            tokens = {"BIG": "a" * min(case.get("big", 0), 100)}

            def token(match: re.Match[str], tokens: dict[str, str] = tokens) -> str:
                return tokens.setdefault(match[1], f"{match[1]}~{next(numbers)}")

            seeds.append(_PLACEHOLDER.sub(token, text).encode("latin-1"))
    return seeds + _GOOD * (len(seeds) // len(_GOOD))


def targets(seeds: Sequence[bytes]) -> list[bytes]:
    """Return the request targets of requests."""
    return [line[1] for seed in seeds if len(line := seed.split(b"\r\n")[0].split(b" ")) == 3]


def responses() -> list[bytes]:
    """Return the upstream responses of the corpus."""
    return [text.encode("latin-1") for case in corpora.read("upstream") for text in case["answers"] if text]


class Mutator:
    """Makes inputs from seeds; deterministic for a given `random`."""

    def __init__(self, seeds: Sequence[bytes], random: Random) -> None:
        self._seeds = seeds
        self._random = random
        self._changes: list[Callable[[bytes], bytes]] = [
            *(self._flip, self._insert, self._insert, self._replace, self._delete, self._double),
            *(self._splice, self._append, self._swap_case, self._cut),
        ]

    def next(self) -> bytes:
        """Return the next input: a seed, mostly with small changes."""
        data = self._random.choice(self._seeds)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
            data = self.change(data)
        return data[:_MAX_SIZE]

    def change(self, data: bytes) -> bytes:
        """Make one small change."""
        return self._random.choice(self._changes)(data)

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut an input into a few packets, or sometimes into one per byte."""
        if self._random.random() < 0.1:
            return [data[index : index + 1] for index in range(len(data))]
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.randint(0, 6)))
        return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]

    def _offset(self, data: bytes) -> int:
        return self._random.randrange(len(data) + 1)

    def _range(self, data: bytes) -> tuple[int, int]:
        start = self._offset(data)
        return start, min(len(data), start + self._random.choice((1, 1, 2, 4, 16, 64)))

    def _flip(self, data: bytes) -> bytes:
        offset = self._offset(data)
        return data[:offset] + bytes([self._random.randrange(256)]) + data[offset + 1 :]

    def _insert(self, data: bytes) -> bytes:
        offset = self._offset(data)
        return data[:offset] + self._random.choice(_WORDS) + data[offset:]

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
        return data[: self._offset(data)] + other[self._offset(other) :]

    def _append(self, data: bytes) -> bytes:
        return data + self._random.choice(self._seeds)

    def _swap_case(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + data[start:end].swapcase() + data[end:]

    def _cut(self, data: bytes) -> bytes:
        return data[: self._offset(data)]
