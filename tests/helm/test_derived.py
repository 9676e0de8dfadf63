"""The generated files of the charts are current."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from harness.kubernetes.charts import ENFORCER

from helm import dashboard, rules, values

PROJECT = tomllib.loads((ENFORCER.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
VALUES = '# a -- First.\na: 1\nb:\n  # @schema {"minimum": 0}\n  # b.c -- Second, on\n  # two lines.\n  c: []\n'


def derived() -> Iterator[tuple[Path, str]]:
    """Yield each generated file and its expected text."""
    yield from values.derived()
    yield from dashboard.derived()
    yield from rules.derived()


@pytest.mark.parametrize(("path", "text"), tuple(derived()), ids=lambda value: getattr(value, "name", ""))
def test_a_generated_file_is_current(path: Path, text: str) -> None:
    """`make generated` writes them."""
    assert path.read_text("utf-8") == text, "run: make generated"


def test_the_chart_has_the_version_of_the_project() -> None:
    """The chart's version and the image's."""
    chart = yaml.safe_load((ENFORCER / "Chart.yaml").read_text("utf-8"))
    assert chart["version"] == chart["appVersion"] == PROJECT["version"]


def test_a_value_is_read_with_its_comment_and_its_schema() -> None:
    """A non-empty mapping is a section."""
    read = values.read(VALUES)
    assert [(value.name, value.meaning, value.is_section) for value in read] == [
        ("a", "First.", False),
        ("b", "", True),
        ("b.c", "Second, on two lines.", False),
    ]
    assert read[2].shape == {"minimum": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: 1\n", "line 1: a has no comment"), ("# b -- Another.\na: 1\n", "line 2: the comment on a")],
    ids=["none", "another's"],
)
def test_a_value_without_its_own_comment_is_an_error(text: str, message: str) -> None:
    """Otherwise it would be missing from the table."""
    with pytest.raises(ValueError, match=message):
        values.read(text)
