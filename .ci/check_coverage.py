#!/usr/bin/env python3
"""Compares the coverage of each module with its floor, and prints a table of them.

Usage: python .ci/check_coverage.py COVERAGE.json [--raise]

COVERAGE.json is coverage.py's JSON report. The floors are coverage.toml beside this file: one for every module, and
lower ones for single modules, each with its reason. A floor is only ever raised: `--raise` sets the lower floors to the
measured coverage, and removes floors that are no longer needed. Exit status: 0 if every module reaches its floor, 1 if
one does not, 2 if a file cannot be read or a lower floor names a module that does not exist.
"""

from __future__ import annotations

import json
import math
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

FLOORS_FILE = Path(__file__).with_name("coverage.toml")


@dataclass(frozen=True)
class Floors:
    """Percentages that modules must reach."""

    default: int
    lower: dict[str, int]

    def of(self, module: str) -> int:
        return self.lower.get(module, self.default)


def read_floors(text: str) -> Floors:
    """Read coverage.toml; raises ValueError if a lower floor is not lower."""
    document = tomllib.loads(text)
    floors = Floors(document["floor"], {module: entry["floor"] for module, entry in document["lower"].items()})
    too_high = [module for module, floor in floors.lower.items() if floor >= floors.default]
    if too_high:
        raise ValueError(f"not lower than {floors.default}: {', '.join(too_high)}")
    return floors


def read_measured(text: str) -> dict[str, float]:
    """Return the percentage of lines that ran, by path, without modules that have no lines."""
    files = json.loads(text)["files"]
    return {
        path: file["summary"]["percent_covered"] for path, file in files.items() if file["summary"]["num_statements"]
    }


def table(measured: dict[str, float], floors: Floors) -> list[str]:
    """Return a line for each module, by room, lowest coverage first; those below their floor are marked."""
    lines = [f"{'module':60} {'covered':>8} {'floor':>6}"]
    for module, percent in sorted(measured.items(), key=lambda item: (str(Path(item[0]).parent), item[1])):
        mark = "  BELOW" if percent < floors.of(module) else ""
        lines.append(f"{module:60} {percent:7.1f}% {floors.of(module):5d}%{mark}")
    return lines


def raised(text: str, measured: dict[str, float]) -> str:
    """Return coverage.toml with its lower floors raised to the measured coverage, or removed if the default is met."""
    floors = read_floors(text)
    for module, floor in floors.lower.items():
        percent = math.floor(measured[module])
        entry = re.compile(rf'^"{re.escape(module)}" = \{{ *floor = {floor}\b(.*)\n', re.MULTILINE)
        if percent >= floors.default:
            text = entry.sub("", text)
        elif percent > floor:
            text = entry.sub(rf'"{module}" = {{ floor = {percent}\1\n', text)
    return text


def main(arguments: list[str]) -> int:
    """Print the table, and the modules below their floor."""
    paths = [argument for argument in arguments if not argument.startswith("--")]
    try:
        measured = read_measured(Path(*paths).read_text("utf-8"))
        text = FLOORS_FILE.read_text("utf-8")
        floors = read_floors(text)
    except (OSError, ValueError, KeyError) as error:
        print(f"check_coverage: {error!r}", file=sys.stderr)
        return 2
    unknown = floors.lower.keys() - measured.keys()
    if unknown:
        print(f"check_coverage: {FLOORS_FILE.name} names modules that do not exist: {sorted(unknown)}", file=sys.stderr)
        return 2
    if "--raise" in arguments:
        FLOORS_FILE.write_text(raised(text, measured), "utf-8")
        return 0
    print("\n".join(table(measured, floors)))
    below = [module for module, percent in measured.items() if percent < floors.of(module)]
    if below:
        print(f"{len(below)} modules below their floor: {', '.join(sorted(below))}", file=sys.stderr)
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
