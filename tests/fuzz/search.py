"""The search: makes inputs for a while, and stops at the first one of which something does not hold."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from random import Random

from fuzz import mutation, oracles
from harness.dataplane import DataPlane

_HANGS = 10  # seconds after which an input is taken to hang
_ODD = b"GET /public/odd HTTP/1.1\r\nHost: app\r\n\r\n"
_EVEN = b"GET /public/even HTTP/1.1\r\nHost: app\r\n\r\n"


@dataclass(frozen=True)
class Failure:
    """An input, by its kind, and what does not hold of it."""

    kind: str
    data: bytes
    what: str


@dataclass
class Report:
    """What a search did, and the failure that ended it."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    failure: Failure | None = None


async def search(seconds: float, seed: int) -> Report:
    """Search for `seconds`; the same seed makes the same inputs."""
    random = Random(seed)
    seeds = mutation.requests()
    makers = {
        "requests": mutation.Mutator(seeds, random),
        "targets": mutation.Mutator(mutation.targets(seeds), random),
        "answers": mutation.Mutator(mutation.answers(), random),
    }
    report = Report(seed)
    deadline = time.monotonic() + seconds
    with closing(DataPlane()) as plane:
        while time.monotonic() < deadline and report.failure is None:
            kind = random.choices(("requests", "targets", "answers"), (6, 2, 1))[0]
            data = makers[kind].next()
            wrong = await judge(plane, kind, data, makers[kind].pieces(data), report.counts)
            report.counts[kind] += 1
            if wrong:
                report.failure = Failure(kind, data, wrong)
    return report


async def judge(plane: DataPlane, kind: str, data: bytes, pieces: list[bytes], counts: Counter[str]) -> str:
    """Return what does not hold of one input; nothing where all does."""
    try:
        with _alarm():
            if kind == "targets":
                wrong = [*oracles.of_target(data)]
            elif kind == "answers":
                odd = await plane.run([_ODD + _EVEN], answer=data)
                wrong = [*oracles.of_answer(odd, await plane.run([_EVEN]))]
            else:
                whole = await plane.run([data])
                cut = await plane.run(pieces)
                late = await plane.run(pieces, late=True)
                wrong = [broken for outcome in (whole, cut, late) for broken in oracles.of_request(data, outcome)]
                wrong += oracles.of_packets(whole, cut)
                counts["requests forwarded"] += len(whole.arrived)
                counts["requests not forwarded"] += not whole.arrived
    except TimeoutError:
        wrong = [f"it takes more than {_HANGS} s"]
    return "; ".join(wrong)


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(_HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
