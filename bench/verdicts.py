"""The figures that the enforcer is held to, and whether it keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bench.results import Results


@dataclass(frozen=True, slots=True)
class Unit:
    """How a figure is written: its sign, what it is divided by, and the digits behind the point."""

    sign: str
    scale: float
    digits: int

    def write(self, value: float) -> str:
        """Write a value."""
        number = f"{value / self.scale:.{self.digits}f}"
        return f"{self.sign} {number}" if self.sign == "×" else f"{number} {self.sign}"


TIMES = Unit("×", 1, 2)
MIB = Unit("MiB", 2**20, 1)
KIB = Unit("KiB", 2**10, 1)
MB = Unit("MB", 1e6, 0)
SECONDS = Unit("s", 1, 2)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure, round by round, and the bound for its median."""

    figure: str
    values: list[float]
    bound: float
    unit: Unit
    at_least: bool = False

    @property
    def median(self) -> float:
        """What counts."""
        return median(self.values)

    @property
    def met(self) -> bool:
        """Whether the median keeps the bound."""
        return self.median >= self.bound if self.at_least else self.median <= self.bound

    @property
    def wanted(self) -> str:
        """The bound, written."""
        return f"{'≥' if self.at_least else '≤'} {self.unit.write(self.bound)}"

    @property
    def spread(self) -> str:
        """The least and the greatest of the rounds, written."""
        low, high = (self.unit.write(value).removeprefix("× ") for value in (min(self.values), max(self.values)))
        return f"{low} – {high}"


def verdicts(results: Results) -> list[Verdict]:
    """Judge all that was measured."""
    cached = "CPU a request, cached token"
    judged = [
        Verdict(f"{cached}, over nginx + njs", results.ratios("cached", "cpu", "enforcer", "njs"), 0.85, TIMES),
        Verdict(f"{cached}, over plain nginx", results.ratios("cached", "cpu", "enforcer", "nginx"), 1.8, TIMES),
        Verdict(
            "CPU a request, every token new, over nginx + njs",
            results.ratios("unseen", "cpu", "enforcer", "njs"),
            0.75,
            TIMES,
        ),
        Verdict(
            "CPU a request, 10,000 rules over 10",
            results.ratios("rules", "cpu", "10,000 rules", "10 rules"),
            1.05,
            TIMES,
        ),
        Verdict(
            "CPU a request, refused over allowed", results.ratios("refused", "cpu", "refused", "allowed"), 0.6, TIMES
        ),
    ]
    for way in ("download", "upload"):
        rates = results.ratios(way, "rate", "enforcer", "nginx")
        judged += [
            Verdict(f"1 GiB {way}, throughput over plain nginx", rates, 0.5, TIMES, at_least=True),
            Verdict(f"1 GiB {way}, memory it takes", results.column(way, "enforcer", "growth"), 16 * 2**20, MIB),
        ]
    judged += [
        Verdict("idle connection, of 5,000", results.column("connections", "enforcer", "bytes_each"), 20 * 2**10, KIB),
        Verdict("memory after the start", results.column("start", "enforcer", "resident"), 60e6, MB),
        Verdict("ready after", results.column("start", "enforcer", "ready_after"), 1.0, SECONDS),
    ]
    return [verdict for verdict in judged if verdict.values]
