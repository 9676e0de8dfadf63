"""The examples of docs/policy.md work, and its tables agree with the code."""

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from enforcer.cli import main
from enforcer.config.policy_test_file import ADAPTER as TESTS_ADAPTER
from enforcer.config.schema import schema
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


GUIDE, REFERENCE = TEXT.partition("\n## Guide\n")[2].split("\n## Rules\n")
STEPS = re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", GUIDE, re.DOTALL | re.MULTILINE)
EXAMPLES = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)


@pytest.mark.parametrize(("title", "text"), STEPS, ids=[title for title, _ in STEPS])
def test_the_tests_of_a_step_pass(title: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand in the guide, and `enforcer check` finds no error."""
    rules, tests = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(SECTIONS + rules, "utf-8")
    Path("tests.yaml").write_text(tests, "utf-8")
    ended = CliRunner().invoke(main, ["test", "tests.yaml", "--no-coverage"])
    assert ended.exit_code == 0, f"{title}: {ended.output}"
    assert CliRunner().invoke(main, ["check", "--no-secrets"]).exit_code == 0


@pytest.mark.parametrize("example", EXAMPLES, ids=[text.partition("\n")[0] for text in EXAMPLES])
def test_an_example_of_the_reference_is_valid(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a part of a configuration, as a rule file, or as policy tests."""
    monkeypatch.chdir(tmp_path)
    settings, written = yaml.safe_load(SECTIONS), yaml.safe_load(example)
    if "tests" in written:
        Draft202012Validator(schema(TESTS_ADAPTER)).validate(written)
        return
    (server,) = settings["authorization_servers"]
    settings.update(written)
    settings["authorization_servers"] = [{**server, **each} for each in written.get("authorization_servers", [server])]
    settings.setdefault("rules", [{"name": "all", "path": "/**", "authenticated": True}])
    Path("rules").mkdir()
    Path("teams").mkdir()
    Path("rules/a.yaml").write_text("rules: [{name: a, path: /a, scopes: [a]}]", "utf-8")
    Path("teams/b.yaml").write_text("rules: [{name: b, path: /b, scopes: [b]}]", "utf-8")
    if "teams/" in example and "rule_files" not in example:
        Path("teams/b.yaml").write_text(example, "utf-8")
        settings = {**yaml.safe_load(SECTIONS), "rule_files": ["teams/b.yaml"]}
    Path("config.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    ended = CliRunner().invoke(main, ["check", "--no-secrets"])
    assert ended.exit_code == 0, ended.output


def block(kind: str, beginning: str) -> str:
    text: str = next(text for language, text in BLOCKS if language == kind and text.startswith(beginning))
    return text


def test_its_rules_can_be_used_and_its_tests_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(SECTIONS + EXAMPLES[0], "utf-8")
    Path("tests.yaml").write_text(next(text for text in EXAMPLES if text.startswith("tokens:")), "utf-8")
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
