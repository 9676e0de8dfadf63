"""Child processes of a command."""

import re
from pathlib import Path

from harness import plain_http
from harness.waiting import eventually

from enforcer.cli.demo import Child


def outcome(child: Child) -> str:
    """Wait until the process has ended, and return how."""
    assert eventually(lambda: child.outcome)
    return str(child.outcome)


def test_a_failed_process_has_an_exit_code_and_last_lines(tmp_path: Path) -> None:
    """They explain the failure to the user."""
    child = Child(["enforcer", "run", "nowhere.yaml"], tmp_path / "log", {})
    assert outcome(child) == "ended with exit code 2"
    assert child.last_lines() == "  nowhere.yaml: cannot be read: No such file or directory"


def test_a_process_without_output_has_no_last_lines(tmp_path: Path) -> None:
    """The text says so."""
    child = Child(["compileall", "-qq", "nowhere"], tmp_path / "log", {})
    assert outcome(child) == "ended with exit code 0"
    assert child.last_lines() == "  (nothing)"


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    """The second call has no effect."""
    log = tmp_path / "log"
    child = Child(["http.server", "0", "--bind", "127.0.0.1"], log, {"PYTHONUNBUFFERED": "1"})
    assert eventually(lambda: child.outcome or re.search(r"port \d+ ", log.read_text()))
    # Only a server that responds is in the loop that a signal ends; it writes its port before.
    (port,) = re.findall(r"port (\d+) ", log.read_text())
    assert plain_http.get(f"http://127.0.0.1:{port}/").status_code == 200
    before = child.outcome
    child.stop()
    assert (before, child.outcome) == (None, "ended with exit code 0")
    child.stop()
