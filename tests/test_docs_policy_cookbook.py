"""The policies of docs/policy-cookbook.md pass their tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from enforcer.cli import main

TEXT = (Path(__file__).parents[1] / "docs" / "policy-cookbook.md").read_text("utf-8")
RECIPES = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
SERVERS = """\
upstream: {url: http://127.0.0.1:8090}
authorization_servers:
  - {introspection_endpoint: http://127.0.0.1:8085/x, client_id: e, client_secret: {env: NOWHERE}}
"""


@pytest.mark.parametrize(("title", "text"), RECIPES, ids=[title for title, _ in RECIPES])
def test_the_tests_of_a_recipe_pass(title: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there, and `enforcer check` finds no error."""
    rules, tests = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(SERVERS + rules, "utf-8")
    Path("tests.yaml").write_text(tests, "utf-8")
    ended = CliRunner().invoke(main, ["test", "tests.yaml", "--no-coverage"])
    assert ended.exit_code == 0, f"{title}: {ended.output}"
    assert CliRunner().invoke(main, ["check", "--no-secrets"]).exit_code == 0
