"""What was measured: for each load and each subject of it, one sample a round."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

Sample = dict[str, float]


@dataclass(slots=True)
class Results:
    """Samples by load and subject, in the order of the rounds."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)

    def add(self, load: str, subject: str, sample: Sample) -> None:
        """Keep a sample, and show it."""
        self.samples.setdefault(load, {}).setdefault(subject, []).append(sample)
        figures = "  ".join(f"{name} {value:,.4g}" for name, value in sample.items())
        print(f"  {load:12} {subject:16} {figures}", flush=True)

    def column(self, load: str, subject: str, figure: str) -> list[float]:
        """Return one figure of a subject, round by round; empty where it was not measured."""
        return [sample[figure] for sample in self.samples.get(load, {}).get(subject, ())]

    def median(self, load: str, subject: str, figure: str) -> float:
        """Return the median of one figure."""
        return median(self.column(load, subject, figure))

    def ratios(self, load: str, figure: str, subject: str, base: str) -> list[float]:
        """Return one figure of a subject over that of another, each within its round."""
        pairs = zip(self.column(load, subject, figure), self.column(load, base, figure), strict=True)
        return [one / other for one, other in pairs]
