"""The performance goals of the enforcer, and whether a run met them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bench.h2load import MANY_CONNECTIONS
from bench.results import BUILD, Results


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: its symbol, the divisor of a value, and the number of decimals."""

    symbol: str
    scale: float
    decimals: int

    def format(self, value: float) -> str:
        """Return the value with its unit."""
        number = f"{value / self.scale:.{self.decimals}f}"
        return f"{self.symbol} {number}" if self.symbol == "×" else f"{number} {self.symbol}"


TIMES = Unit("×", 1, 2)
MIB = Unit("MiB", 2**20, 1)
KIB = Unit("KiB", 2**10, 1)
MB = Unit("MB", 1e6, 0)
SECONDS = Unit("s", 1, 2)


@dataclass(frozen=True, slots=True)
class Goal:
    """A measured value per round, and the bound that their median must keep."""

    figure: str
    values: list[float]
    bound: float
    unit: Unit
    at_least: bool = False

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return median(self.values)

    @property
    def met(self) -> bool:
        """True if the median keeps the bound; a value equal to the bound does."""
        return self.median >= self.bound if self.at_least else self.median <= self.bound

    @property
    def wanted(self) -> str:
        """The bound as text."""
        return f"{'≥' if self.at_least else '≤'} {self.unit.format(self.bound)}"

    @property
    def spread(self) -> str:
        """The least and the greatest value as text."""
        low, high = (self.unit.format(value).removeprefix("× ") for value in (min(self.values), max(self.values)))
        return f"{low} – {high}"


def goals(results: Results) -> list[Goal]:
    """Return the goals of everything that was measured."""

    def cpu_ratio(title: str, load: str, subject: str, base: str, bound: float) -> Goal:
        return Goal(f"CPU per request, {title}", results.ratios(load, "cpu", subject, base), bound, TIMES)

    all_goals = [
        cpu_ratio("cached token, over nginx + njs", "cached", "enforcer", "njs", 0.85),
        cpu_ratio("cached token, over plain nginx", "cached", "enforcer", "nginx", 1.8),
        cpu_ratio("unseen tokens, over nginx + njs", "unseen", "enforcer", "njs", 0.75),
        cpu_ratio("10,000 rules over 10", "rules", "10,000 rules", "10 rules", 1.05),
        cpu_ratio("refused over allowed", "refused", "refused", "allowed", 0.6),
        cpu_ratio("decision over HTTP, over a proxied request", "decision", "contract request", "proxied", 0.7),
        cpu_ratio("decision for nginx, over a proxied request", "decision", "contract nginx", "proxied", 0.7),
        cpu_ratio("decision over gRPC, over HTTP", "decision-grpc", "gRPC", "HTTP", 3.0),
        cpu_ratio("unary gRPC call, over Envoy", "grpc", "enforcer", "envoy", 3.0),
    ]
    for load, tokens in (("cached", "cached token"), ("unseen", "unseen tokens")):
        builds = [subject for subject in results.samples.get(load, {}) if subject.startswith(BUILD)]
        all_goals += [cpu_ratio(f"{tokens}, over {build}", load, "enforcer", build, 1.03) for build in builds]
    latencies = zip(results.column("many", "enforcer", "p99"), results.column("many", "enforcer", "p50"), strict=True)
    ratios = [p99 / p50 for p99, p50 in latencies]
    all_goals.append(Goal(f"p99 over p50, cached token, {MANY_CONNECTIONS:,} connections", ratios, 3.0, TIMES))
    for direction in ("download", "upload"):
        rates = results.ratios(direction, "rate", "enforcer", "nginx")
        growth = results.column(direction, "enforcer", "growth")
        all_goals += [
            Goal(f"1 GiB {direction}, throughput over plain nginx", rates, 0.5, TIMES, at_least=True),
            Goal(f"1 GiB {direction}, memory growth", growth, 16 * 2**20, MIB),
        ]
    all_goals += [
        Goal("idle connection, of 5,000", results.column("connections", "enforcer", "bytes_each"), 20 * 2**10, KIB),
        Goal("memory after the start", results.column("start", "enforcer", "resident"), 60e6, MB),
        Goal("ready after", results.column("start", "enforcer", "ready_after"), 1.0, SECONDS),
    ]
    return [goal for goal in all_goals if goal.values]
