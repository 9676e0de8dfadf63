"""The examples of docs/policy.md work, and its tables agree with the code."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from enforcer.cli import main
from enforcer.decision_log.record import parse
from enforcer.policy.decision import Reason

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "policy.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
SECTIONS = """\
upstream: {url: http://127.0.0.1:8090}
upstreams: {warehouse: {url: http://127.0.0.1:8099}}
authorization_servers:
  - {introspection_endpoint: http://127.0.0.1:8085/x, client_id: e, client_secret: {env: NOWHERE}}
"""


def block(kind: str, beginning: str) -> str:
    text: str = next(text for language, text in BLOCKS if language == kind and text.startswith(beginning))
    return text


def test_its_rules_can_be_used_and_its_tests_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(SECTIONS + block("yaml", "rules:"), "utf-8")
    Path("tests.yaml").write_text(block("yaml", "tokens:"), "utf-8")
    ended = CliRunner().invoke(main, ["test", "tests.yaml", "--no-coverage"])
    assert (ended.exit_code, ended.output) == (0, "3 tests: 3 passed, 0 failed\n")


@pytest.mark.parametrize("command", ["enforcer explain GET", "enforcer test policy-tests.yaml\n"])
def test_its_commands_print_what_it_shows(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the configuration that comes with the product."""
    monkeypatch.chdir(ROOT)
    line, _, shown = block("console", f"$ {command}").partition("\n")
    ended = CliRunner().invoke(main, line.removeprefix("$ enforcer ").split())
    assert ended.output == shown


def test_its_line_of_a_decision_log_is_one() -> None:
    """With all members, each in the table."""
    line = block("json", '{"time"')
    assert parse(line.encode()) is not None
    for member in json.loads(line):
        assert f"`{member}`" in TEXT


def test_it_names_every_reason_and_every_kind_of_finding() -> None:
    """None is left for the reader to guess."""
    source = (ROOT / "enforcer/analysis/lint.py").read_text() + (
        ROOT / "enforcer/config/validate/warnings.py"
    ).read_text()
    kinds = re.findall(r'Level\.\w+, "(\w+)"', " ".join(source.split()))
    assert len(kinds) > 8
    assert not [name for name in (*kinds, *Reason) if f"`{name}`" not in TEXT]
