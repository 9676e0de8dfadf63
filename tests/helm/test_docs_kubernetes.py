"""The examples and lists in docs/kubernetes.md match the charts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from harness.kubernetes.charts import CI, ROOT, merged, objects, refusal, values
from kustomize.rendering import OVERLAYS

PAGE = (ROOT.parent / "docs" / "kubernetes.md").read_text("utf-8")
BLOCKS = re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
EXAMPLES = [yaml.safe_load(text) for text in BLOCKS if "{{" not in text]
INTERNAL = {"container", "settings", "defaults", "flat", "resources", "securityContext", "storedProbes"}
"""Templates of the library that only other templates use."""


@pytest.mark.parametrize(
    "example", [example for example in EXAMPLES if {"policy", "metrics"} & example.keys()], ids=str
)
def test_the_chart_accepts_the_values_in_the_examples(example: dict[str, object]) -> None:
    """Together with the minimal values."""
    changed = merged(values("minimal"), example)
    assert refusal(changed) == ""
    assert objects(changed) != objects(values("minimal"))


def test_the_templates_of_the_library_are_listed() -> None:
    """Exactly the public templates."""
    texts = "".join(path.read_text("utf-8") for path in (ROOT / "enforcer-lib" / "templates").glob("*.tpl"))
    defined = set(re.findall(r'define "enforcer\.sidecar\.(\w+)"', texts))
    (table,) = re.findall(r"\| template \| writes \|\n.*?\n\n", PAGE, re.DOTALL)
    listed = set(re.findall(r"`(?:enforcer\.sidecar)?\.(\w+)`", table.replace("`enforcer.sidecar.", "`.")))
    assert listed == defined - INTERNAL


def test_the_overlays_are_listed() -> None:
    """Exactly the public overlays, without those of the tests."""
    (table,) = re.findall(r"\| overlay \| what it is \|\n.*?\n\n", PAGE, re.DOTALL)
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == {
        name for name, folder in OVERLAYS.items() if folder.is_relative_to(ROOT.parent / "k8s")
    }


def test_the_files_in_the_text_exist() -> None:
    """Files by their paths, and values files in ci/ by their names."""
    named = re.findall(r"`((?:helm|k8s|docs)/[\w./-]+)`", PAGE) + re.findall(r"helm/enforcer/ci/[\w-]+\.yaml", PAGE)
    assert [path for path in named if not (ROOT.parent / path).exists()] == []
    assert set(re.findall(r"`(\w+)-values\.yaml`", PAGE)) <= CI.keys()


def test_the_example_output_of_helm_test_is_current() -> None:
    """Its lines are those that test_running.py expects."""
    lines = re.findall(r"^ok    .*$", PAGE, re.MULTILINE)
    running = (Path(__file__).parent / "test_running.py").read_text("utf-8")
    assert lines
    assert [line for line in lines if line not in running] == []
