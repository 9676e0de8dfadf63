"""Fuzzes the parsers of request heads, targets and answers for a while; exit code 1 and the input where one fails.

In `tests`: `python -m fuzz [--seconds N] [--seed N]` searches, and `python -m fuzz FILE` judges a saved input again.
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
from fuzz.search import Failure, judge, search
from harness.dataplane import DataPlane

_SAVED = Path(__file__).parents[2] / "build" / "fuzz"


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seconds", default=60.0, help="How long to search.")
@click.option("--seed", default=None, type=int, help="What the inputs follow from; random unless given.")
def main(file: Path | None, seconds: float, seed: int | None) -> None:
    """Search for an input that breaks the data plane, or judge the one in FILE again."""
    if file is not None:
        wrong = asyncio.run(_again(file.suffix.removeprefix("."), file.read_bytes()))
        click.echo(wrong or "all holds")
        sys.exit(1 if wrong else 0)
    began = time.monotonic()
    report = asyncio.run(search(seconds, secrets.randbits(32) if seed is None else seed))
    took = time.monotonic() - began
    counts = ", ".join(f"{count} {what}" for what, count in sorted(report.counts.items()))
    click.echo(f"seed {report.seed}, {took:.0f} s: {counts}")
    if report.failure is not None:
        click.echo(f"{report.failure.what}\nsaved as {_save(report.failure)}", err=True)
        sys.exit(1)


async def _again(kind: str, data: bytes) -> str:
    pieces = [data[at : at + 1] for at in range(len(data))]
    with closing(DataPlane()) as plane:
        return await judge(plane, kind, data, pieces, Counter())


def _save(failure: Failure) -> Path:
    _SAVED.mkdir(parents=True, exist_ok=True)
    path = _SAVED / f"{int(time.time())}.{failure.kind}"
    path.write_bytes(failure.data)
    return path


if __name__ == "__main__":
    main()
