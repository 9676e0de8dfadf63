"""`enforcer drain`, where there is nobody for it; tests/e2e has the rest."""

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
def test_who_finds_no_enforcer_says_so(words: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And tells nobody else; its number is one that no process has."""
    process = tmp_path / "4194305"
    (process / "ns").mkdir(parents=True)
    (process / "ns/mnt").touch()
    if words is not None:
        (process / "cmdline").write_bytes(words)
    (tmp_path / "self").mkdir()
    monkeypatch.setattr(drain, "PROCESSES", tmp_path)
    ended = CliRunner().invoke(main, ["drain"], prog_name="enforcer")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "`enforcer run`" in ended.stderr


@pytest.mark.parametrize(
    ("program", "said"),
    [
        pytest.param(["sh", "-c", "echo; read line"], "no process", id="its launcher, or anybody with the words"),
        pytest.param([sys.executable, "-c", "print(flush=True); input()"], "try again", id="one that only starts"),
    ],
)
def test_nobody_is_ended_who_does_not_wait_for_it(
    program: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGUSR1 ends a process that does not catch it."""
    monkeypatch.setattr(drain, "PROCESSES", tmp_path)
    with subprocess.Popen([*program, "enforcer", "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        (tmp_path / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        ended = CliRunner().invoke(main, ["drain"], prog_name="enforcer")
        process.communicate(b"\n")
    assert process.returncode == 0
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert said in ended.stderr
