"""The loads: how one round of each is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TypeVar

from bench import bulk, decisions, h2load, wrk
from bench.footprint import connections, start
from bench.results import Results
from bench.servers import (
    APACHE,
    ENVOY,
    GRPC,
    GRPC_ENVOY,
    GRPC_NGINX,
    NAIVE,
    NGINX,
    NJS,
    OPTIONAL,
    Build,
    RunningServer,
    Server,
    Workspace,
    enforcer,
    serving,
)

T = TypeVar("T")

_WARM_UP = 1  # seconds in which connections are opened, caches filled and allocators grown
_MANY_WARM_UP = 2  # seconds in which 1,000 connections open: their first requests wait for that
_MANY_RULES = 10_000
_TURNS = 4  # turns of 1 s for each second of another load
_SECOND_PORT = 18018
# All requests come from one address and exceed the default limit of one client. The limiter still counts the tokens.
_UNSEEN_LIMITS = {"unseen_tokens": {"rate": 1_000_000, "burst": 1_000_000}}


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its number, the seconds that each load takes, and the results that its samples are added to."""

    number: int
    seconds: int
    workspace: Workspace
    results: Results

    def in_turn(self, subjects: Iterable[T]) -> list[T]:
        """Return the subjects, reversed in every other round, so that none of them always comes first."""
        return list(subjects)[:: -1 if self.number % 2 else 1]


@contextmanager
def _checked(workspace: Workspace, server: Server) -> Iterator[RunningServer]:
    """Run a server until the block ends, after checking its decisions."""
    with serving(workspace, server) as running:
        decisions.check(running)
        yield running


def _cached(now: Round) -> None:
    missing = [server.name for server in OPTIONAL if not now.workspace.has(server.program)]
    if missing and not now.number:
        print(f"not measured, because not installed: {', '.join(missing)}", flush=True)
    installed = [server for server in OPTIONAL if server.name not in missing]
    for server in now.in_turn((NGINX, enforcer(), NJS, ENVOY, APACHE, NAIVE, *installed)):
        with _checked(now.workspace, server) as running:
            wrk.load(running, _WARM_UP)
            now.results.add("cached", server.name, asdict(wrk.load(running, now.seconds)))


def _many(now: Round) -> None:
    for server in now.in_turn((NGINX, enforcer())):
        with _checked(now.workspace, server) as running:
            h2load.many(now.workspace, running, _WARM_UP)
            sample = h2load.many(now.workspace, running, now.seconds, warm_up=_MANY_WARM_UP)
            now.results.add("many", server.name, asdict(sample))


def _unseen(now: Round) -> None:
    for server in now.in_turn((NJS, enforcer(limits=_UNSEEN_LIMITS), APACHE)):
        with _checked(now.workspace, server) as running:
            wrk.load(running, _WARM_UP, script=wrk.UNSEEN)
            now.results.add("unseen", server.name, asdict(wrk.load(running, now.seconds, script=wrk.UNSEEN)))


def _rules(now: Round) -> None:
    few, many = enforcer(10), enforcer(_MANY_RULES, port=_SECOND_PORT)
    with _checked(now.workspace, few) as of_few, _checked(now.workspace, many) as of_many:
        _alternate(now, "rules", {"10 rules": of_few, "10,000 rules": of_many})


def _alternate(now: Round, load: str, subjects: dict[str, RunningServer]) -> None:
    """Load running servers in many turns of 1 s, because a small difference must not drown in noise."""
    script = wrk.UNSEEN if load == "unseen" else None
    for running in subjects.values():
        wrk.load(running, _WARM_UP, script=script)
    for turn in range(now.seconds * _TURNS):
        for name in list(subjects)[:: -1 if (now.number + turn) % 2 else 1]:
            now.results.add(load, name, asdict(wrk.load(subjects[name], 1, script=script)))


def _refused(now: Round) -> None:
    with _checked(now.workspace, enforcer()) as running:
        wrk.load(running, _WARM_UP)
        for name in now.in_turn(("allowed", "refused")):
            now.results.add("refused", name, asdict(wrk.load(running, now.seconds, refused=name == "refused")))


def _decision(now: Round) -> None:
    """Measure the doors of one process, because only their difference matters."""
    with _checked(now.workspace, enforcer(decision=True)) as running:
        doors = {"proxied": running} | {f"contract {name}": running.deciding(name) for name in ("request", "nginx")}
        for door in doors.values():
            decisions.check(door)
        _alternate(now, "decision", doors)


def _decision_grpc(now: Round) -> None:
    with _checked(now.workspace, enforcer(decision=True)) as running:
        http, grpc = running.deciding("request"), running.deciding("envoy-grpc")
        wrk.load(http, _WARM_UP)
        h2load.decide(now.workspace, grpc, _WARM_UP)
        for turn in range(now.seconds * _TURNS):
            for name in ("HTTP", "gRPC")[:: -1 if (now.number + turn) % 2 else 1]:
                sample = wrk.load(http, 1) if name == "HTTP" else h2load.decide(now.workspace, grpc, 1)
                now.results.add("decision-grpc", name, asdict(sample))


def _grpc(now: Round) -> None:
    for server in now.in_turn((GRPC_NGINX, enforcer(app=GRPC, protocol="h2c"), GRPC_ENVOY)):
        with serving(now.workspace, server) as running:
            h2load.call(now.workspace, running, _WARM_UP)
            now.results.add("grpc", server.name, asdict(h2load.call(now.workspace, running, now.seconds)))


def _large(now: Round) -> None:
    for name, transfer in bulk.TRANSFERS.items():
        for server in now.in_turn((NGINX, transfer.enforcer)):
            with _checked(now.workspace, server) as running:
                now.results.add(name, server.name, asdict(transfer.run(running)))


def _connections(now: Round) -> None:
    with _checked(now.workspace, enforcer()) as running:
        now.results.add("connections", "enforcer", connections(running))


def _start(now: Round) -> None:
    for server in (ENVOY, NAIVE, enforcer()):
        with serving(now.workspace, server) as running:
            now.results.add("start", server.name, start(running))


LOADS: dict[str, Callable[[Round], None]] = {
    "cached": _cached,
    "many": _many,
    "unseen": _unseen,
    "rules": _rules,
    "refused": _refused,
    "decision": _decision,
    "decision-grpc": _decision_grpc,
    "grpc": _grpc,
    "large": _large,
    "connections": _connections,
    "start": _start,
}
"""The loads by name, in the order in which a round takes them."""

BUILD_LOADS = ("cached", "unseen")
"""The loads that can compare two builds of the enforcer."""


def compare(now: Round, load: str, build: Build) -> None:
    """Measure the enforcer and an earlier build of it side by side, under one of BUILD_LOADS."""
    limits = _UNSEEN_LIMITS if load == "unseen" else None
    present, earlier = enforcer(limits=limits), enforcer(limits=limits, port=_SECOND_PORT, build=build)
    with _checked(now.workspace, present) as of_present, _checked(now.workspace, earlier) as of_earlier:
        _alternate(now, load, {present.name: of_present, earlier.name: of_earlier})
