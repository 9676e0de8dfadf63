from pathlib import Path

from harness.waiting import eventually

from enforcer.cli._process import Child


def ended(child: Child) -> str:
    """Wait until it has, and return how."""
    assert eventually(lambda: child.end)
    return str(child.end)


def test_one_that_fails_is_told_of_with_what_it_said_last(tmp_path: Path) -> None:
    """Its exit code and its last lines."""
    child = Child(["enforcer", "run", "nowhere.yaml"], tmp_path / "log", {})
    assert ended(child) == "ended with exit code 2"
    assert child.last_lines() == "  nowhere.yaml: cannot be read: No such file or directory"


def test_one_that_says_nothing_is_told_of_too(tmp_path: Path) -> None:
    """Nothing is a word as well."""
    child = Child(["compileall", "-qq", "nowhere"], tmp_path / "log", {})
    assert ended(child) == "ended with exit code 0"
    assert child.last_lines() == "  (nothing)"


def test_one_that_runs_is_stopped_once(tmp_path: Path) -> None:
    """A second stop finds nothing to do."""
    log = tmp_path / "log"
    child = Child(["http.server", "0", "--bind", "127.0.0.1"], log, {"PYTHONUNBUFFERED": "1"})
    assert eventually(lambda: child.end or "Serving" in log.read_text())
    assert child.end is None
    child.stop()
    assert child.end == "ended with exit code 0"
    child.stop()
