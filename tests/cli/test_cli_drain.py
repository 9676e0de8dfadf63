"""`enforcer drain`, where there is nobody for it; tests/e2e has the rest."""

from __future__ import annotations

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
