"""docs/interop.md shows the same configurations that `make interop` runs."""

import json
from pathlib import Path

import pytest
import yaml
from joserfc.jwk import ECKey

from enforcer.config.load import load
from interop.servers import SERVERS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "interop.md").read_text("utf-8")
SNIPPETS = sorted((ROOT / "interop").glob("*/*.yaml"))
REST = {"upstream": {"url": "http://127.0.0.1:8090"}, "rules": [{"name": "all", "path": "/**", "authenticated": True}]}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_each_shown_configuration_is_tested(snippet: Path, tmp_path: Path) -> None:
    """The texts are equal, and valid with an upstream and rules."""
    text = snippet.read_text("utf-8")
    assert f"```yaml\n{text}```\n" in PAGE
    path = tmp_path / "config.yaml"
    path.write_text(text + yaml.safe_dump(REST), "utf-8")
    key = json.dumps(ECKey.generate_key("P-256").as_dict(private=True))
    loaded = load(path, {"ENFORCER_CLIENT_SECRET": "secret", "ENFORCER_CLIENT_KEY": key})
    (server,) = loaded.config.authorization_servers
    assert server.client_id == {"jwt": None, "private_key_jwt": "enforcer-with-a-key"}.get(snippet.stem, "enforcer")


def test_the_documented_versions_are_tested() -> None:
    """In the tables of the document and of the README."""
    for text in (PAGE, (ROOT / "README.md").read_text("utf-8")):
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        assert [
            server.name for server in SERVERS if not any(_is_of(row, server.name, server.version) for row in rows)
        ] == []


def _is_of(row: str, name: str, version: str) -> bool:
    cells = [cell.strip() for cell in row.split("|")]
    return name.replace("-", " ") in cells[1].lower().replace("-", " ") and cells[2] == version
