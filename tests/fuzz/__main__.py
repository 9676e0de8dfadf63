"""Fuzzes the parsers of HTTP and of authorization servers' documents; if an input fails, saves it and exits with 1.

In `tests`: `python -m fuzz [--seconds N] [--seed N]` searches, and `python -m fuzz FILE` checks a saved input again.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import click
from fuzz import cost
from fuzz.search import Failure, check, search, search_costs
from harness.dataplane import DataPlane

_SAVED = Path(__file__).parents[2] / "build" / "fuzz"


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seconds", default=60.0, help="Duration of the search.")
@click.option("--seed", default=None, type=int, help="Seed of the inputs; default: random.")
def main(file: Path | None, seconds: float, seed: int | None) -> None:
    """Search for an input that violates a property, or check the one in FILE again."""
    if file is not None:
        violations = asyncio.run(_check_saved(file.suffix.removeprefix("."), file.read_bytes()))
        click.echo(violations or "no violations")
        sys.exit(1 if violations else 0)
    started = time.monotonic()
    seed = secrets.randbits(32) if seed is None else seed
    report = asyncio.run(search_costs(seconds / 4, seed))
    if report.failure is None:
        costs, report = report, asyncio.run(search(seconds * 3 / 4, seed))
        report.counts += costs.counts
    duration = time.monotonic() - started
    counts = ", ".join(f"{count} {name}" for name, count in sorted(report.counts.items()))
    click.echo(f"seed {report.seed}, {duration:.0f} s: {counts}")
    if report.failure is not None:
        click.echo(f"{report.failure.violations}\nsaved as {_save(report.failure)}", err=True)
        sys.exit(1)


async def _check_saved(kind: str, data: bytes) -> str:
    if kind == "costs":
        with closing(cost.make_plane()) as plane:
            await cost.warm_up(plane)
            return "; ".join(await cost.violations(plane, data))
    pieces = [data[index : index + 1] for index in range(len(data))]
    with closing(DataPlane()) as plane:
        return await check(plane, kind, data, pieces, Counter())


def _save(failure: Failure) -> Path:
    _SAVED.mkdir(parents=True, exist_ok=True)
    path = _SAVED / f"{int(time.time())}.{failure.kind}"
    path.write_bytes(failure.data)
    return path


if __name__ == "__main__":
    main()
