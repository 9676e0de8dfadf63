"""A run, written down: as a table for people, and as JSON to make it from again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.results import Results
from bench.verdicts import verdicts
from bench.wrk import CONNECTIONS

ENOUGH_ROUNDS = 5
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
TITLES = {
    "nginx": "nginx, forwards only",
    "njs": "nginx + njs, introspects and caches",
    "apache": "Apache mod_oauth2, introspects and caches",
    "envoy": "Envoy, forwards only",
    "naive": "Starlette + httpx, introspects and caches",
    "enforcer": "**enforcer**",
}
_REQUESTS = {
    "cached": f"Cached token, allowed GET, {CONNECTIONS} connections",
    "unseen": "Every token new, one introspection each",
    "rules": "The enforcer with 10 and with 10,000 rules",
    "refused": "The enforcer, allowed and refused (no token)",
}


@dataclass(frozen=True, slots=True)
class Run:
    """All of a run that is worth keeping."""

    machine: dict[str, str]
    versions: dict[str, str]
    rounds: int
    seconds: int
    results: Results

    @staticmethod
    def read(path: Path) -> Run:
        """Read what `save` has written."""
        kept = json.loads(path.read_text())
        results = Results(kept["samples"])
        return Run(kept["machine"], kept["versions"], kept["rounds"], kept["seconds"], results)

    def save(self, path: Path) -> None:
        """Write it down, verdicts included."""
        judged = [
            {"figure": one.figure, "median": one.median, "wanted": one.wanted, "met": one.met, "rounds": one.values}
            for one in verdicts(self.results)
        ]
        kept = {
            "machine": self.machine,
            "versions": self.versions,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "verdicts": judged,
            **asdict(self.results),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")

    def markdown(self) -> str:
        """Write all the tables."""
        return "\n\n".join([self._verdicts(), *self._tables(), self._conditions()])

    def readme(self, picture: str) -> str:
        """Write what the README has: the picture, what counts, and the rest to unfold."""
        first, *others = self._tables()
        folded = "\n\n".join(["<details><summary>All other figures</summary>", *others, "</details>"])
        shown = f"![CPU microseconds a request]({picture})"
        return f"{shown}\n\n{first}\n\n{self._verdicts()}\n\n{folded}\n\n{self._conditions()}"

    def _tables(self) -> list[str]:
        measured = self.results.samples
        tables = [self._requests(load, title) for load, title in _REQUESTS.items() if load in measured]
        if "download" in measured:
            tables.append(self._large())
        if "start" in measured:
            tables.append(self._start())
        return tables

    def _verdicts(self) -> str:
        rows = [
            (one.figure, one.unit.write(one.median), one.spread, one.wanted, "met" if one.met else "**missed**")
            for one in verdicts(self.results)
        ]
        return _table(("figure of the enforcer", "median", "least – greatest", "wanted", ""), rows)

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
        return _table((title, "requests/s", "CPU µs a request", "p50 ms", "p99 ms", "memory MB"), map(row, subjects))

    def _large(self) -> str:
        rows = [
            (
                f"{way}, {TITLES[subject]}",
                f"{self.results.median(way, subject, 'rate') / 2**20:,.0f}",
                f"{self.results.median(way, subject, 'cpu'):.2f}",
                f"{self.results.median(way, subject, 'growth') / 2**20:.1f}",
            )
            for way in ("download", "upload")
            for subject in self.results.samples[way]
        ]
        return _table(("1 GiB", "MiB/s", "CPU s", "memory it takes, MiB"), rows)

    def _start(self) -> str:
        rows = [
            (
                TITLES[subject],
                f"{self.results.median('start', subject, 'ready_after'):.2f}",
                f"{self.results.median('start', subject, 'resident') / 1e6:.0f}",
            )
            for subject in self.results.samples["start"]
        ]
        return _table(("Start", "ready after s", "memory MB"), rows)

    def _conditions(self) -> str:
        machine, found = self.machine, self.versions
        return (
            f"`make bench`: medians of {self.rounds} rounds of {self.seconds} s; ratios are formed within a round. One "
            "server at a time was loaded, on CPU 0. The app, the authorization server and the load shared CPU 1, which "
            "bounds the requests a second of the fastest: the CPU time is what compares. The enforcer is compiled, as "
            "in the image, and has its default settings, metrics on, but that one client may send any number of new "
            "tokens. It checks scopes, as mod_oauth2 does; the njs script checks that the token is active, and the "
            "files of its cache are "
            f"{machine['files']}. nginx streams large bodies in buffers of its default size.\n\n"
            f"Machine: {machine['cpu']}, {machine['cores']} cores ({machine['kind']}), {machine['memory']}, "
            f"{machine['kernel']}, {machine['system']}; load before the run {machine['load']}. "
            f"Enforcer: {found['python']}, uvicorn {found['uvicorn']}, uvloop {found['uvloop']}, "
            f"httptools {found['httptools']}. Peers: nginx {found['nginx']}, njs {found['njs']}, "
            f"Apache {found['apache']}, mod_oauth2 {found['mod_oauth2']}, Envoy {found['envoy']}, "
            f"Starlette {found['starlette']}, httpx {found['httpx']}. Load: wrk {found['wrk']}."
        )


def insert(page: str, text: str) -> str:
    """Put text between the marks of a page; raises LookupError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LookupError(f"{BEGIN} and {END} mark where the table goes, and are missing")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1e3:,.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
