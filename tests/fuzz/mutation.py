"""Makes inputs: seeds from the corpora of attacks, and small changes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from random import Random

import yaml
from harness import corpora

_MOST = 8192  # bytes of an input; more finds nothing that less does not
_PLACE = re.compile(r"\$(ADM|BIG|R|W|X|N|K|C)")
_SEEDS = yaml.safe_load((Path(__file__).parent / "seeds.yaml").read_text())
_WORDS, _GOOD = ([text.encode("latin-1") for text in _SEEDS[name]] for name in ("words", "good"))


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
            *(self._flip, self._insert, self._insert, self._replace, self._delete, self._double),
            *(self._splice, self._append, self._swap_case, self._cut),
        ]

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
