"""Golden runs of `enforcer inject`: its output and its report, byte for byte. See harness/kubernetes/golden.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from harness.kubernetes import golden
from harness.kubernetes.schemas import violations


def name(case: Path) -> str:
    return case.name


INJECTIONS = [case for case in golden.CASES if "inject" in golden.arguments(case)]


@pytest.mark.parametrize("case", golden.CASES, ids=name)
def test_output_and_report_are_as_expected(case: Path) -> None:
    """Byte for byte. A refused workload is written as it is."""
    result = golden.run_command(case)
    assert result.stdout == golden.expected(case, "output.yaml")
    assert result.stderr == golden.expected(case, "report.txt")
    assert result.exit_code == (2 if "  refused  " in result.stderr else 0)


@pytest.mark.parametrize("case", INJECTIONS, ids=name)
def test_the_output_is_valid_idempotent_and_reversible(case: Path) -> None:
    """Valid in every version of Kubernetes; a second run changes nothing, and `uninject` restores the input."""
    output = golden.expected(case, "output.yaml")
    for document in yaml.safe_load_all(output):
        for thing in (document or {}).get("items", [document] if document else []):
            if thing["kind"] != "HorizontalPodAutoscaler":
                assert list(violations(thing)) == []
    arguments = golden.arguments(case)
    if output and "--prepare" not in arguments:
        from_stdin = ["-" if word == "input.yaml" else word for word in arguments]
        assert golden.run(case, from_stdin, output).stdout == output
        form = ["-o", "json"] if "json" in from_stdin else []
        restored = golden.run(case, ["uninject", "-", *form], output).stdout
        assert restored == (case / "input.yaml").read_text("utf-8")


def test_every_case_has_a_report() -> None:
    """An empty folder would pass every test above."""
    assert len(golden.CASES) >= 14
    assert all((case / "report.txt").read_text("utf-8") for case in golden.CASES)
