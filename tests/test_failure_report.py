"""The report of failed tests: a failing run writes one, and the next run does not overwrite it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FAILING = """
import pytest

@pytest.fixture
def broken():
    raise RuntimeError("no fixture")

def test_fails():
    print("printed by the test")
    assert 1 == 2

def test_errors(broken): pass

def test_passes(): pass
"""


def _run_pytest(folder: Path, source: str, *arguments: str) -> str:
    (folder / "test_sample.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "failure_report", "--rootdir", str(folder), *arguments]
    environment = {"PYTHONPATH": str(ROOT / ".ci"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    process = subprocess.run(
        [*command, str(folder)], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return process.stdout


def test_a_failed_run_keeps_names_traces_and_output(tmp_path: Path) -> None:
    """For failures and for errors in fixtures; the path is printed last."""
    printed = _run_pytest(tmp_path, FAILING)
    (report,) = tmp_path.glob("build/failed-tests/*.txt")
    text = report.read_text()
    assert f"kept in {report.relative_to(tmp_path)}" in printed
    assert "test_sample.py::test_fails (call, " in text
    assert "test_sample.py::test_errors (setup, " in text
    assert "assert 1 == 2" in text
    assert "printed by the test" in text
    assert "RuntimeError: no fixture" in text
    assert "test_passes" not in text


def test_a_module_that_cannot_be_collected_is_reported(tmp_path: Path) -> None:
    """An error at import has a trace, but no duration: no test has run."""
    printed = _run_pytest(tmp_path, "import a_module_that_does_not_exist\n")
    (report,) = tmp_path.glob("build/failed-tests/*.txt")
    assert f"kept in {report.relative_to(tmp_path)}" in printed
    text = report.read_text()
    assert "test_sample.py (collect, worker main)" in text
    assert "No module named 'a_module_that_does_not_exist'" in text


def test_workers_are_named(tmp_path: Path) -> None:
    """With pytest-xdist, a failure names the process that ran it."""
    _run_pytest(tmp_path, FAILING, "-p", "xdist.plugin", "-n", "1")
    (report,) = tmp_path.glob("build/failed-tests/*.txt")
    assert "worker gw0)" in report.read_text()


def test_a_passing_run_keeps_the_report_of_the_failed_one(tmp_path: Path) -> None:
    """The passing run writes no report."""
    _run_pytest(tmp_path, FAILING)
    printed = _run_pytest(tmp_path, "def test_passes(): pass")
    assert "kept in" not in printed
    assert len([*tmp_path.glob("build/failed-tests/*.txt")]) == 1
