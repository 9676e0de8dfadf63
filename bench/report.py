"""Writes the results of a run: as Markdown tables, and as JSON from which the tables can be written again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.goals import goals
from bench.h2load import MANY_CONNECTIONS
from bench.results import Results
from bench.servers import OPTIONAL
from bench.wrk import CONNECTIONS

ENOUGH_ROUNDS = 5
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
TITLES = {
    "nginx": "nginx, forwards only",
    "njs": "nginx + njs, introspects and caches",
    "apache": "Apache mod_oauth2, introspects and caches",
    "envoy": "Envoy, forwards only",
    "caddy": "Caddy, forwards only",
    "skipper": "Skipper, introspects each request",
    "oathkeeper": "Oathkeeper, introspects and caches",
    "heimdall": "Heimdall, introspects and caches",
    "naive": "Starlette + httpx, introspects and caches",
    "enforcer": "**enforcer**",
}
_REQUESTS = {
    "cached": f"Cached token, allowed GET, {CONNECTIONS} connections",
    "many": f"Cached token, allowed GET, {MANY_CONNECTIONS:,} connections",
    "unseen": "Unseen tokens, one introspection request each",
    "rules": "The enforcer with 10 and with 10,000 rules",
    "refused": "The enforcer, allowed requests and refused ones (no token)",
    "decision": "The enforcer, proxied requests and decisions, by contract; cached token",
    "decision-grpc": "The enforcer, decisions over HTTP and over gRPC; cached token",
    "grpc": "Unary gRPC calls over HTTP/2, cached token; nginx and Envoy forward only",
}


@dataclass(frozen=True, slots=True)
class Run:
    """The results of a run and its conditions."""

    machine: dict[str, str]
    versions: dict[str, str]
    rounds: int
    seconds: int
    results: Results

    @staticmethod
    def read(path: Path) -> Run:
        """Read a file written by `save`."""
        content = json.loads(path.read_text())
        results = Results(content["samples"])
        return Run(content["machine"], content["versions"], content["rounds"], content["seconds"], results)

    def save(self, path: Path) -> None:
        """Write the run to a JSON file, with the goals and whether each is met."""
        outcomes = [
            {
                "figure": goal.figure,
                "median": goal.median,
                "wanted": goal.wanted,
                "met": goal.met,
                "rounds": goal.values,
            }
            for goal in goals(self.results)
        ]
        content = {
            "machine": self.machine,
            "versions": self.versions,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "goals": outcomes,
            **asdict(self.results),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def markdown(self) -> str:
        """Return all tables."""
        return "\n\n".join([self._goals(), *self._tables(), self._conditions()])

    def section(self, picture: str) -> str:
        """Return the section of docs/speed.md: the picture, the main table, the goals, and the other tables folded."""
        first, *others = self._tables()
        folded = "\n\n".join(["<details><summary>All other figures</summary>", *others, "</details>"])
        shown = f"![CPU microseconds per request]({picture})"
        return f"{shown}\n\n{first}\n\n{self._goals()}\n\n{folded}\n\n{self._conditions()}"

    def _tables(self) -> list[str]:
        measured = self.results.samples
        tables = [self._requests(load, title) for load, title in _REQUESTS.items() if load in measured]
        if "download" in measured:
            tables.append(self._large())
        if "start" in measured:
            tables.append(self._start())
        return tables

    def _goals(self) -> str:
        rows = [
            (goal.figure, goal.unit.format(goal.median), goal.spread, goal.wanted, "met" if goal.met else "**missed**")
            for goal in goals(self.results)
        ]
        return _table(("enforcer", "median", "min – max", "goal", ""), rows)

    def _requests(self, load: str, title: str) -> str:
        def row(subject: str) -> Sequence[str]:
            def median(figure: str) -> float:
                return self.results.median(load, subject, figure)

            return (
                TITLES.get(subject, subject),
                f"{median('rate'):,.0f}",
                f"{median('cpu'):,.1f}",
                _milliseconds(median("p50")),
                _milliseconds(median("p99")),
                f"{median('resident') / 1e6:.0f}",
            )

        subjects = sorted(self.results.samples[load], key=lambda subject: self.results.median(load, subject, "cpu"))
        return _table((title, "requests/s", "CPU µs per request", "p50 ms", "p99 ms", "memory MB"), map(row, subjects))

    def _large(self) -> str:
        rows = [
            (
                f"{direction}, {TITLES[subject]}",
                f"{self.results.median(direction, subject, 'rate') / 2**20:,.0f}",
                f"{self.results.median(direction, subject, 'cpu'):.2f}",
                f"{self.results.median(direction, subject, 'growth') / 2**20:.1f}",
            )
            for direction in ("download", "upload")
            for subject in self.results.samples[direction]
        ]
        return _table(("1 GiB", "MiB/s", "CPU s", "memory growth, MiB"), rows)

    def _start(self) -> str:
        rows = [
            (
                TITLES.get(subject, subject),
                f"{self.results.median('start', subject, 'ready_after'):.2f}",
                f"{self.results.median('start', subject, 'resident') / 1e6:.0f}",
            )
            for subject in self.results.samples["start"]
        ]
        return _table(("Start", "ready after s", "memory MB"), rows)

    def _conditions(self) -> str:
        machine, installed = self.machine, self.versions
        return (
            f"`make bench`: medians of {self.rounds} rounds of {self.seconds} s; ratios are formed within a round. One "
            "server at a time was loaded, on CPU 0. The app, the authorization server and the load generator shared "
            "CPU 1, which limits the requests per second of the fastest servers, so compare the CPU time. The enforcer "
            "is compiled, as in the image, and has its default settings, with metrics, except that one client may send "
            "any number of unseen tokens. Every proxy that introspects was checked before each measurement: it refuses "
            "requests without a token, with an empty one and with an inactive one. The enforcer checks scopes, as "
            "mod_oauth2 does; the njs script only checks that the token is active, and keeps its cache in files "
            f"{machine['files']}. nginx streams large bodies in buffers of its default size.\n\n"
            f"Machine: {machine['cpu']}, {machine['cores']} cores ({machine['kind']}), {machine['memory']}, "
            f"{machine['kernel']}, {machine['system']}; load before the run {machine['load']}. "
            f"Enforcer: {installed['python']}, uvicorn {installed['uvicorn']}, uvloop {installed['uvloop']}, "
            f"httptools {installed['httptools']}. Peers: nginx {installed['nginx']}, njs {installed['njs']}, "
            f"Apache {installed['apache']}, mod_oauth2 {installed['mod_oauth2']}, Envoy {installed['envoy']}, "
            f"Starlette {installed['starlette']}, httpx {installed['httpx']}{self._optional()}. "
            f"Load: wrk {installed['wrk']}."
        )

    def _optional(self) -> str:
        """Return the versions of the measured proxies that the benchmark does not install."""
        measured = self.results.samples.get("cached", {})
        return "".join(
            f", {TITLES[server.name].partition(',')[0]} {self.versions.get(server.name, 'unknown')}"
            for server in OPTIONAL
            if server.name in measured
        )


def insert(page: str, text: str) -> str:
    """Return the page with the text between its marks replaced; raises LookupError if the marks are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LookupError(f"{BEGIN} and {END} must mark the place of the table, and are missing")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1e3:,.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
