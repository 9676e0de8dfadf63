"""The loads: what each is about, and how one round of it is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TypeVar

from bench import bulk, wrk
from bench.footprint import connections, start
from bench.results import Results
from bench.servers import APACHE, ENVOY, NAIVE, NGINX, NJS, Place, enforcer, serving

T = TypeVar("T")

_WARM_UP = 1  # seconds: connections are opened, caches filled, allocators grown
_MANY_RULES = 10_000
_TURNS = 4  # for each second of another load
# One address sends all the load, at a rate at which no client may by default. The tokens are counted all the same.
_UNSEEN_LIMITS = {"unseen_tokens": {"rate": 1_000_000, "burst": 1_000_000}}


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its number, the seconds that each load takes, and where its samples go."""

    number: int
    seconds: int
    place: Place
    results: Results

    def turn(self, compared: Iterable[T]) -> list[T]:
        """Return what is compared, from either end in turn: none always comes first."""
        return list(compared)[:: -1 if self.number % 2 else 1]


def _cached(now: Round) -> None:
    # The enforcer stands beside those that it is compared with.
    for server in now.turn((NGINX, enforcer(), NJS, ENVOY, APACHE, NAIVE)):
        with serving(now.place, server) as running:
            wrk.load(running, _WARM_UP)
            now.results.add("cached", server.name, asdict(wrk.load(running, now.seconds)))


def _unseen(now: Round) -> None:
    for server in now.turn((NJS, enforcer(limits=_UNSEEN_LIMITS), APACHE)):
        with serving(now.place, server) as running:
            wrk.load(running, _WARM_UP, script=wrk.UNSEEN)
            now.results.add("unseen", server.name, asdict(wrk.load(running, now.seconds, script=wrk.UNSEEN)))


def _rules(now: Round) -> None:
    # The difference is small, so the two take many turns of a second, that no noise may fall on one alone.
    few, many = enforcer(10), enforcer(_MANY_RULES, port=18018)
    with serving(now.place, few) as of_few, serving(now.place, many) as of_many:
        subjects = {"10 rules": of_few, "10,000 rules": of_many}
        for running in subjects.values():
            wrk.load(running, _WARM_UP)
        for _ in range(now.seconds * _TURNS):
            for name in now.turn(subjects):
                now.results.add("rules", name, asdict(wrk.load(subjects[name], 1)))


def _refused(now: Round) -> None:
    with serving(now.place, enforcer()) as running:
        wrk.load(running, _WARM_UP)
        for name in now.turn(("allowed", "refused")):
            now.results.add("refused", name, asdict(wrk.load(running, now.seconds, refused=name == "refused")))


def _large(now: Round) -> None:
    for name, exchange in bulk.EXCHANGES.items():
        for server in now.turn((NGINX, exchange.enforcer)):
            with serving(now.place, server) as running:
                now.results.add(name, server.name, asdict(exchange.run(running)))


def _connections(now: Round) -> None:
    with serving(now.place, enforcer()) as running:
        now.results.add("connections", "enforcer", connections(running))


def _start(now: Round) -> None:
    for server in (ENVOY, NAIVE, enforcer()):
        with serving(now.place, server) as running:
            now.results.add("start", server.name, start(running))


LOADS: dict[str, Callable[[Round], None]] = {
    "cached": _cached,
    "unseen": _unseen,
    "rules": _rules,
    "refused": _refused,
    "large": _large,
    "connections": _connections,
    "start": _start,
}
"""The loads by name, in the order in which a round takes them."""
