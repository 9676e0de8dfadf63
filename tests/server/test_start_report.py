"""The log at the start."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from enforcer.config.load import load_with_document
from enforcer.server.start_report import describe, log_warnings

CONFIG = """\
upstream: {url: http://127.0.0.1:8090}
mode: report
authorization_servers:
  - {introspection_endpoint: https://as.example.org/introspect, client_id: enforcer, client_secret: {env: SECRET}}
rules:
"""


def logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, rules: int) -> list[str]:
    """Log the warnings of a configuration with a number of rules."""
    path = tmp_path / "config.yaml"
    lines = [f"  - {{name: rule {number}, path: /{number}, scopes: [read]}}\n" for number in range(rules)]
    path.write_text(CONFIG + "".join(lines))
    loaded, document = load_with_document(path, None)
    with caplog.at_level(logging.INFO, "enforcer"):
        log_warnings(loaded.config, document)
    assert f"{path} with hash {loaded.hash} and {rules} rules, authorization servers: default" in describe(path, loaded)
    return caplog.messages


def test_warnings_are_logged_except_report_mode(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Report mode is logged after each reload."""
    (message,) = logged(tmp_path, caplog, 1)
    assert message.startswith(f"{tmp_path}/config.yaml:4:5: authorization_servers[0]: no audience is required")


def test_the_warnings_of_a_large_policy_are_left_to_check(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The start must not take seconds."""
    assert logged(tmp_path, caplog, 501) == ["501 rules: run `enforcer check` for warnings about them"]
