"""Reads the corpora of `tests/attacks`: attacks as data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

_FOLDER = Path(__file__).parents[1] / "attacks" / "corpus"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(name: str) -> list[dict[str, Any]]:
    """Return the cases of one file."""
    cases: list[dict[str, Any]] = yaml.load((_FOLDER / f"{name}.yaml").read_text(), _LOADER)
    return cases


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the cases of all files of requests, each with its file's name."""
    for path in sorted((_FOLDER / "requests").glob("*.yaml")):
        for case in read(f"requests/{path.stem}"):
            yield path.stem, case


def answers(name: str) -> list[Any]:
    """Return each answer of each case of a file of answers, as a parameter of a test."""
    return [
        pytest.param(case, answer, id=f"{case['id']}: {number}")
        for case in read(name)
        for number, answer in enumerate(case["answers"], 1)
        if case["source"]
    ]
