"""The configurations that docs/interop.md shows are those that `make interop` tries."""

from pathlib import Path

import pytest
import yaml

from enforcer.config.load import load

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "interop.md").read_text("utf-8")
SNIPPETS = sorted((ROOT / "interop").glob("*/*.yaml"))
REST = {
    "upstream": {"url": "http://127.0.0.1:8090"},
    "rules": [{"name": "all", "path": "/**", "authenticated": True}],
}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda path: path.parent.name)
def test_what_is_shown_is_what_is_tried(snippet: Path, tmp_path: Path) -> None:
    """To the letter; and with an upstream and rules, it is a whole configuration."""
    text = snippet.read_text("utf-8")
    assert f"```yaml\n{text}```\n" in PAGE
    path = tmp_path / "config.yaml"
    path.write_text(text + yaml.safe_dump(REST), "utf-8")
    loaded = load(path, {"ENFORCER_CLIENT_SECRET": "secret"})
    assert [server.client_id for server in loaded.config.authorization_servers] == ["enforcer"]
