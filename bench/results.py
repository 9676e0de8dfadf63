"""The samples of a run: one per round for each load and each measured subject."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

Sample = dict[str, float]
BUILD = "enforcer at "
"""The prefix of subjects that are earlier builds of the enforcer; the commit follows."""


@dataclass(slots=True)
class Results:
    """Samples by load and subject, in the order of the rounds."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)

    def add(self, load: str, subject: str, sample: Sample) -> None:
        """Add a sample, and print it."""
        self.samples.setdefault(load, {}).setdefault(subject, []).append(sample)
        figures = "  ".join(f"{name} {value:,.4g}" for name, value in sample.items())
        print(f"  {load:12} {subject:16} {figures}", flush=True)

    def column(self, load: str, subject: str, figure: str) -> list[float]:
        """Return one figure of a subject by round; empty if it was not measured."""
        return [sample[figure] for sample in self.samples.get(load, {}).get(subject, ())]

    def median(self, load: str, subject: str, figure: str) -> float:
        """Return the median of one figure."""
        return median(self.column(load, subject, figure))

    def ratios(self, load: str, figure: str, subject: str, base: str) -> list[float]:
        """Return a figure of `subject` divided by that of `base`, by round; empty if `base` was not measured."""
        divisors = self.column(load, base, figure)
        if not divisors:
            return []
        return [value / divisor for value, divisor in zip(self.column(load, subject, figure), divisors, strict=True)]
