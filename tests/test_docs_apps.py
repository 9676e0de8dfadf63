"""docs/apps.md shows the same settings that `make apps` runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.config.load import load

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "apps.md").read_text("utf-8")
SETTINGS = sorted((ROOT / "tests" / "apps" / "settings").glob("*.yaml"))
REST = """\
upstream: {url: http://127.0.0.1:8090}
authorization_servers:
  - {issuer: https://auth.example.org, client_id: enforcer, client_secret: {env: ENFORCER_CLIENT_SECRET}}
"""


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_each_shown_configuration_is_tested(path: Path, tmp_path: Path) -> None:
    """The texts are equal, and valid with an upstream and an authorization server."""
    text = path.read_text("utf-8")
    assert f"```yaml\n{text}```\n" in PAGE
    rest = REST
    if text.startswith("upstream: {"):
        rest = REST.replace("upstream: {url: http://127.0.0.1:8090}\n", "")
        text = text.replace("upstream: {", "upstream: {url: http://127.0.0.1:8090, ")
    whole = tmp_path / "config.yaml"
    whole.write_text(rest + text, "utf-8")
    assert load(whole, {"ENFORCER_CLIENT_SECRET": "secret"}).config.rules


def test_the_documented_versions_are_tested() -> None:
    """In the table."""
    lines = (ROOT / "tests" / "apps" / "requirements.txt").read_text("utf-8").splitlines()
    for name, _, version in (line.partition("==") for line in lines if not line.startswith("#")):
        package = name.partition("[")[0]
        assert f"{package} {version}" in PAGE or package in ("cheroot", "ipykernel", "uvicorn"), package
