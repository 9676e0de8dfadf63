"""Fuzzes the parsers of request heads, targets and answers for a while; exit code 1 and the input where one fails.

    python -m fuzz [--seconds N] [--seed N]     search
    python -m fuzz FILE                         judge one saved input again
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from collections import Counter
from pathlib import Path

from fuzz.plane import Plane
from fuzz.search import Failure, judge, search

_SAVED = Path("build/fuzz")


def main() -> int:
    """Search, or judge one input again."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz the data plane's parsers.")
    parser.add_argument("file", nargs="?", type=Path, help="a saved input to judge again")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to search")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="what the inputs follow from")
    options = parser.parse_args()
    if options.file is not None:
        wrong = asyncio.run(_again(options.file))
        print(wrong or "all holds")
        return 1 if wrong else 0
    began = time.monotonic()
    report = asyncio.run(search(options.seconds, options.seed))
    took = time.monotonic() - began
    print(f"seed {report.seed}, {took:.0f} s: " + ", ".join(f"{n} {what}" for what, n in report.counts.items()))
    if report.failure is None:
        return 0
    print(f"{report.failure.what}\nsaved as {_save(report.failure)}", file=sys.stderr)
    return 1


async def _again(file: Path) -> str:
    data = file.read_bytes()
    pieces = [data[at : at + 1] for at in range(len(data))]
    return await judge(Plane(), file.suffix.removeprefix("."), data, pieces, Counter())


def _save(failure: Failure) -> Path:
    _SAVED.mkdir(parents=True, exist_ok=True)
    path = _SAVED / f"{int(time.time())}.{failure.kind}"
    path.write_bytes(failure.data)
    return path


if __name__ == "__main__":
    sys.exit(main())
