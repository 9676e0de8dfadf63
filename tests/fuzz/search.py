"""The search: tries inputs until the first one that violates a property, or until it reaches a limit."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from random import Random

from fuzz import app_frames, cost, document_oracles, documents, mutation, oracles
from fuzz.app_frames import AppFrameMutator
from fuzz.documents import DocumentMutator
from fuzz.frames import FrameMutator
from harness.dataplane import DataPlane

_TIMEOUT = 60  # seconds after which an input counts as hanging, even on a busy machine
_WEIGHTS = (6, 2, 1, 3, 1, 3, 1, 1)
_ODD = b"GET /public/odd HTTP/1.1\r\nHost: app\r\n\r\n"
_EVEN = b"GET /public/even HTTP/1.1\r\nHost: app\r\n\r\n"


@dataclass(frozen=True)
class Failure:
    """An input, its kind, and the properties that it violates."""

    kind: str
    data: bytes
    violations: str


@dataclass
class Report:
    """The counts of a search, and the failure that ended it."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    failure: Failure | None = None


async def search(seconds: float, seed: int, limit: float = math.inf) -> Report:
    """Search for `seconds`, or until `limit` inputs; the same seed makes the same inputs."""
    random = Random(seed)
    seeds = mutation.requests()
    makers: dict[str, mutation.Mutator | DocumentMutator | FrameMutator | AppFrameMutator] = {
        "requests": mutation.Mutator(seeds, random),
        "targets": mutation.Mutator(mutation.targets(seeds), random),
        "responses": mutation.Mutator(mutation.responses(), random),
        "frames": FrameMutator(random),
        "app frames": AppFrameMutator(random),
        **{kind: DocumentMutator(kind, random) for kind in documents.KINDS},
    }
    report = Report(seed)
    deadline = time.monotonic() + seconds
    tried = 0
    with closing(DataPlane()) as plane:
        while time.monotonic() < deadline and tried < limit and report.failure is None:
            tried += 1
            kind = random.choices(
                ("requests", "targets", "responses", "frames", "app frames", "claims", "keys", "metadata"), _WEIGHTS
            )[0]
            data = makers[kind].next()
            violations = await check(plane, kind, data, makers[kind].pieces(data), report.counts)
            report.counts[kind] += 1
            if violations:
                report.failure = Failure(kind, data, violations)
    return report


async def search_costs(seconds: float, seed: int, limit: float = math.inf) -> Report:
    """Search for a request that takes too much work, as `search` does for other properties."""
    random, report = Random(seed), Report(seed)
    deadline = time.monotonic() + seconds
    with closing(cost.make_plane()) as plane:
        await cost.warm_up(plane)
        while time.monotonic() < deadline and report.counts["costs"] < limit and report.failure is None:
            report.counts["costs"] += 1
            data = cost.random_request(random)
            if violations := await cost.violations(plane, data):
                report.failure = Failure("costs", data, "; ".join(violations))
    return report


async def check(plane: DataPlane, kind: str, data: bytes, pieces: list[bytes], counts: Counter[str]) -> str:
    """Return the properties that an input violates; empty if there are none."""
    try:
        with _alarm():
            if kind == "targets":
                violations = [*oracles.of_target(data)]
            elif kind in documents.KINDS:
                violations = [*document_oracles.of_document(kind, data)]
            elif kind == "responses":
                odd = await plane.run([_ODD + _EVEN], answer=data)
                violations = [*oracles.of_response(odd, await plane.run([_EVEN]))]
            elif kind == "frames":
                outcomes = [await plane.run([data]), await plane.run(pieces), await plane.run(pieces, late=True)]
                violations = [text for outcome in outcomes for text in oracles.of_frames(outcome)]
                counts["streams forwarded"] += len(outcomes[0].arrived)
            elif kind == "app frames":
                violations = [*await app_frames.violations([data]), *await app_frames.violations(pieces)]
            else:
                whole = await plane.run([data])
                cut = await plane.run(pieces)
                late = await plane.run(pieces, late=True)
                violations = [text for outcome in (whole, cut, late) for text in oracles.of_request(data, outcome)]
                violations += oracles.of_packets(whole, cut)
                counts["requests forwarded"] += len(whole.arrived)
                counts["requests not forwarded"] += not whole.arrived
    except TimeoutError:
        violations = [f"it takes more than {_TIMEOUT} s"]
    return "; ".join(violations)


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(_TIMEOUT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
