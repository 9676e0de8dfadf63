"""Whole runs: in `golden/` a folder for each, with what goes in, the command, what comes out, and what is said."""

from __future__ import annotations

import shlex
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from harness.kubernetes.schemas import violations

from enforcer.cli import main

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.parent for path in GOLDEN.glob("*/command"))


def run(arguments: list[str], text: str | None = None) -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, arguments, input=text, prog_name="enforcer")


def arguments(case: Path) -> list[str]:
    return shlex.split((case / "command").read_text())


def expected(case: Path, file: str) -> str:
    """Return the text of a file, in which VERSION stands for that of the package; nothing if it is not there."""
    path = case / file
    return path.read_text().replace("VERSION", version("token-enforcer")) if path.exists() else ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_written_and_said_as_expected(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte; nothing is written where something was refused."""
    monkeypatch.chdir(case)
    ended = run(arguments(case), (case / "input.yaml").read_text())
    assert ended.stdout == expected(case, "output.yaml")
    assert ended.stderr == expected(case, "report.txt")
    assert ended.exit_code == (0 if ended.stdout else 2)


@pytest.mark.parametrize("case", [case for case in CASES if "inject" in arguments(case)], ids=lambda case: case.name)
def test_what_comes_out_is_valid_and_goes_back(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every version of Kubernetes; a second run changes nothing, and `uninject` gives what went in."""
    monkeypatch.chdir(case)
    output = expected(case, "output.yaml")
    for document in yaml.safe_load_all(output):
        for thing in (document or {}).get("items", [document] if document else []):
            if thing["kind"] != "HorizontalPodAutoscaler":
                assert list(violations(thing)) == []
    if output and "--prepare" not in arguments(case):
        words = ["-" if word == "input.yaml" else word for word in arguments(case)]
        assert run(words, output).stdout == output
        form = ["-o", "json"] if "json" in words else []
        assert run(["uninject", "-", *form], output).stdout == (case / "input.yaml").read_text()


def test_every_case_says_something() -> None:
    """An empty folder would pass every test above."""
    assert len(CASES) >= 14
    assert all((case / "report.txt").read_text() for case in CASES)
