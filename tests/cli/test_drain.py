"""`enforcer drain` if there is no enforcer to signal; tests/e2e has the other cases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from enforcer.cli import drain, main


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
    result = CliRunner().invoke(main, ["drain"], prog_name="enforcer")
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
        result = CliRunner().invoke(main, ["drain"], prog_name="enforcer")
        process.communicate(b"\n")
    assert process.returncode == 0
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
