"""The examples of docs/authorization-servers.md can be used as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml
from harness.signing import key

from enforcer.config.load import load
from enforcer.settings.authorization_server import AuthorizationServer, ClientAuthentication

TEXT = (Path(__file__).parents[1] / "docs" / "authorization-servers.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_each_example_can_be_used(block: str, tmp_path: Path) -> None:
    """With an app, and rules where it has none."""
    settings = {
        "upstream": {"url": "http://127.0.0.1:8090"},
        "rules": [{"name": "all", "path": "/**", "authenticated": True}],
        **yaml.safe_load(block),
    }
    (tmp_path / "enforcer.pem").write_bytes(key("ES256", 7).as_pem(private=True))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    loaded = load(path, {"ENFORCER_CLIENT_SECRET": "x"})
    assert all(server.issuer and server.audience for server in loaded.config.authorization_servers)


def test_every_way_to_verify_and_to_authenticate_is_told() -> None:
    """In the tables."""
    ways = (*get_args(ClientAuthentication), *get_args(get_type_hints(AuthorizationServer)["verify"]))
    assert [way for way in ways if f"| `{way}` |" not in TEXT] == []
