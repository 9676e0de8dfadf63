"""`enforcer drain`: the processes that it chooses; tests/e2e has a real enforcer that it drains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from enforcer.cli import drain, main

IGNORING = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGUSR1, lambda *_: None); print(flush=True); input()",
]
"""A program that handles the signal, as an enforcer that has started."""


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(b"enforcer\0run\0", id="another container's"),
        pytest.param(b"enforcer\0drain\0", id="another command"),
        pytest.param(b"/app\0run\0", id="another program"),
        pytest.param(b"", id="the kernel's"),
        pytest.param(None, id="ended meanwhile"),
    ],
)
def test_no_enforcer_is_an_error(words: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process is signalled; the process id in the test is above any real one."""
    process = tmp_path / "4194305"
    (process / "ns").mkdir(parents=True)
    (process / "ns/mnt").touch()
    if words is not None:
        (process / "cmdline").write_bytes(words)
    (tmp_path / "self").mkdir()
    monkeypatch.setattr(drain, "PROCESSES", tmp_path)
    for arguments in (["--all"], ["--pid", "4194305"]):
        result = CliRunner().invoke(main, ["drain", *arguments], prog_name="enforcer")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "`enforcer run`" in result.stderr


@pytest.mark.parametrize(
    ("program", "message"),
    [
        pytest.param(
            ["sh", "-c", "echo; read line"], "runs no", id="its launcher, or another program with these arguments"
        ),
        pytest.param(
            [sys.executable, "-c", "print(flush=True); input()"], "try again", id="one that is still starting"
        ),
    ],
)
def test_a_process_without_a_handler_is_not_signalled(
    program: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGUSR1 would kill it."""
    monkeypatch.setattr(drain, "PROCESSES", tmp_path)
    with subprocess.Popen([*program, "enforcer", "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        (tmp_path / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        result = CliRunner().invoke(main, ["drain", "--all"], prog_name="enforcer")
        process.communicate(b"\n")
    assert process.returncode == 0
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_outside_a_container_the_process_must_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's enforcer on a shared machine would leave its load balancer; the message lists the processes."""
    monkeypatch.setattr(drain, "PROCESSES", tmp_path)
    monkeypatch.setattr(drain, "CONTAINER_FILES", (tmp_path / "dockerenv",))
    monkeypatch.setattr(drain, "CONTAINER_VARIABLES", ("ENFORCER_TEST_CONTAINER",))
    with subprocess.Popen(
        [*IGNORING, "enforcer", "run", "a.yaml"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        (tmp_path / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        outside = CliRunner().invoke(main, ["drain"], prog_name="enforcer")
        named = CliRunner().invoke(main, ["drain", "--pid", str(process.pid)], prog_name="enforcer")
        monkeypatch.setenv("ENFORCER_TEST_CONTAINER", "1")
        inside = CliRunner().invoke(main, ["drain"], prog_name="enforcer")
        process.communicate(b"\n")
    assert outside.exit_code == 2
    assert f"{process.pid}  enforcer run a.yaml" in outside.stderr
    drained = f"draining: process {process.pid} (enforcer run a.yaml)\n"
    assert (named.exit_code, named.stdout) == (inside.exit_code, inside.stdout) == (0, drained)


def test_all_and_one_process_exclude_each_other() -> None:
    """One of the two is a mistake, and a drain cannot be undone."""
    assert CliRunner().invoke(main, ["drain", "--all", "--pid", "1"], prog_name="enforcer").exit_code == 2
