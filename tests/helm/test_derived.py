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
    """Give each file, and what it should be."""
    yield from values.derived()
    yield from dashboard.derived()
    yield from rules.derived()


@pytest.mark.parametrize(("path", "text"), tuple(derived()), ids=lambda found: getattr(found, "name", ""))
def test_a_file_that_is_made_is_current(path: Path, text: str) -> None:
    """`make generated` writes them."""
    assert path.read_text("utf-8") == text, "run: make generated"


def test_the_chart_has_the_version_of_the_program() -> None:
    """Both its own, and that of the image."""
    chart = yaml.safe_load((ENFORCER / "Chart.yaml").read_text("utf-8"))
    assert chart["version"] == chart["appVersion"] == PROJECT["version"]


def test_a_value_is_read_with_its_comment_and_its_shape() -> None:
    """A mapping with something in it is a section."""
    read = values.read(VALUES)
    assert [(value.name, value.meaning, value.is_section) for value in read] == [
        ("a", "First.", False),
        ("b", "", True),
        ("b.c", "Second, on two lines.", False),
    ]
    assert read[2].shape == {"minimum": 0}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("a: 1\n", "line 1: a has no comment"), ("# b -- Another.\na: 1\n", "line 2: the comment on a")],
    ids=["none", "another's"],
)
def test_a_value_without_a_comment_of_its_own_is_refused(text: str, wrong: str) -> None:
    """So that none is missing from the table."""
    with pytest.raises(ValueError, match=wrong):
        values.read(text)
