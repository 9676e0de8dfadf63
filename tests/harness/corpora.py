"""Reads the attack corpora of `tests/attacks/corpus`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

_FOLDER = Path(__file__).parents[1] / "attacks" / "corpus"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(name: str) -> list[dict[str, Any]]:
    """Return the cases of a file."""
    cases: list[dict[str, Any]] = yaml.load((_FOLDER / f"{name}.yaml").read_text(), _LOADER)
    return cases


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the cases of all request files, each with the name of its file."""
    for path in sorted((_FOLDER / "requests").glob("*.yaml")):
        for case in read(f"requests/{path.stem}"):
            yield path.stem, case


def responses(name: str) -> list[Any]:
    """Return each response of each case of a file as a parameter of a test."""
    return [
        pytest.param(case, response, id=f"{case['id']}: {number}")
        for case in read(name)
        for number, response in enumerate(case["answers"], 1)
        if case["source"]
    ]
