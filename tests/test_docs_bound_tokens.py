"""The examples of docs/bound-tokens.md work."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from enforcer.cli import main

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", (ROOT / "docs" / "bound-tokens.md").read_text("utf-8"), re.DOTALL)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.chdir(ROOT)
    return CliRunner().invoke(main, arguments)


def test_its_policy_tests_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rules that come with the product."""
    (tmp_path / "tests.yaml").write_text(next(text for _, text in BLOCKS if text.startswith("tokens:")), "utf-8")
    ended = run(monkeypatch, "test", str(tmp_path / "tests.yaml"), "--no-coverage")
    assert (ended.exit_code, ended.output) == (0, "2 tests: 2 passed, 0 failed\n")


def test_its_command_allows_who_has_the_key_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what was missing."""
    command = shlex.split(next(text for kind, text in BLOCKS if kind == "console").removeprefix("$ enforcer "))
    assert run(monkeypatch, *command).exit_code == 0
    refused = run(monkeypatch, *command[:-1], "another")
    assert refused.exit_code == 1
    explained = " ".join(refused.output.split())
    assert "needed: a DPoP proof by its key (cnf.jkt) there: a DPoP proof by another" in explained
    assert 'WWW-Authenticate: DPoP error="invalid_token", algs="' in refused.output
    assert run(monkeypatch, *command[:-2]).output.count("WWW-Authenticate") == 2
    assert run(monkeypatch, "explain", "GET", "/ms-system/country", "--proof", "k").exit_code == 2
