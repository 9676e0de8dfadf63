"""`enforcer demo` where something is missing; `e2e/test_walk.py` has the demo itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from enforcer.cli import demo, main

CLONE = Path(__file__).parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["demo", "--once", *arguments])


def test_outside_a_clone_the_message_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package does not contain the demo's configuration."""
    monkeypatch.chdir(tmp_path)
    result = run()
    assert result.exit_code == 1
    assert result.output.startswith("Error: config.yaml does not exist: run the demo in a clone of the repository")


def test_without_its_packages_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started, and there is no traceback."""
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    result = run("--config", str(CLONE / "config.yaml"))
    assert (result.exit_code, result.output) == (
        1, "Error: the country app needs more packages: pip install 'token-enforcer[demo]'\n",
    )  # fmt: skip
