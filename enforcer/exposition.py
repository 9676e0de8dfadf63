"""Prometheus' text format, line by line, so that a scrape of many series can be made in short turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from enforcer.counters import Histogram

Kind = Literal["counter", "gauge", "histogram"]


def labels(**values: str) -> str:
    """Return labels between braces; empty if there are none. Name them in alphabetical order: scripts search lines."""
    pairs = [f'{name}="{_escaped(value)}"' for name, value in values.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def family(name: str, kind: Kind, text: str, samples: Iterable[tuple[str, float | Histogram]]) -> Iterator[str]:
    """Yield the lines of a metric, with the samples' `labels` and values; those of one histogram are one piece."""
    yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for label_set, value in samples:
        if isinstance(value, Histogram):
            yield _histogram(name, label_set, value)
        else:
            yield f"{name}{label_set} {float(value)}\n"


def _histogram(name: str, label_set: str, histogram: Histogram) -> str:
    start = f'{name}_bucket{{{label_set[1:-1]}{"," if label_set else ""}le="'
    buckets = histogram.buckets()
    lines = [f'{start}{bound}"}} {float(count)}\n' for bound, count in buckets]
    lines.append(f"{name}_count{label_set} {float(buckets[-1][1])}\n{name}_sum{label_set} {float(histogram.total)}\n")
    return "".join(lines)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
