"""docs/security-model.md: every claim names a test that exists, and every limit a setting with its default."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enforcer.config.schema import shape
from enforcer.share_report import SharedTable

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security-model.md").read_text("utf-8")
ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)
SETTING = re.compile(r"`((?:[a-z_]+(?:\[\])?\.)+[a-z_]+)`(?: \(`([^`]+)`\))?")
TEST = re.compile(r"\[`(\w+)`\]\(\.\./(tests/[\w/]+\.py)\)")


def tables() -> Iterator[list[list[str]]]:
    """Yield the rows of each table of the page, without heads, as cells."""
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        yield [[cell.strip() for cell in row.split(" | ")] for row in ROW.findall(block)[2:]]


ROWS = [row for table in tables() for row in table]


def defined(path: str) -> set[str]:
    """Return the names of the test functions in a file."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_every_row_names_tests_that_exist(row: list[str]) -> None:
    """In its last cell, which has nothing else."""
    tests = TEST.findall(row[-1])
    assert tests
    assert TEST.sub("", row[-1]).replace(",", "").strip() == ""
    for name, path in tests:
        assert name in defined(path), f"{path} has no {name}"


def default(path: str) -> Any:
    """Return the default of a setting, as a user writes it."""
    *parents, name = [step.removesuffix("[]") for step in path.split(".")]
    steps: list[str | int] = []
    for step in parents:
        steps.append(step)
        if step in ("authorization_servers", "decision"):
            steps.append(0)
    return shape().keys(steps)[name].get("default")


@pytest.mark.parametrize(("path", "value"), sorted(set(SETTING.findall(PAGE))))
def test_every_setting_exists_and_has_the_default_that_the_page_says(path: str, value: str) -> None:
    """As `enforcer schema` prints it."""
    actual = default(path)
    assert not value or str(actual).lower() == value.lower(), actual


def test_every_table_with_shares_is_listed() -> None:
    """By the name that the metric and the log have for it."""
    assert [table for table in SharedTable if f"`{table}`" not in PAGE] == []


def test_the_page_is_found() -> None:
    """From the pages that a reader starts with."""
    assert "docs/security-model.md" in (ROOT / "README.md").read_text("utf-8")
    assert "docs/security-model.md" in (ROOT / "SECURITY.md").read_text("utf-8")
