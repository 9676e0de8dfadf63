"""`enforcer why`, against a running enforcer."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from harness.clients import Client
from harness.configs import TOKENS, config
from harness.processes import Enforcer, enforcer
from harness.servers import introspection_server

from enforcer.cli import main

SECRETS = {"ENFORCER_CLIENT_SECRET": "secret", "ADMIN_CREDENTIAL": "operator"}


@pytest.fixture(scope="module")
def running() -> Iterator[Enforcer]:
    """Run an enforcer that has denied two requests with the same id."""
    with introspection_server(TOKENS) as server:
        text = config("http://127.0.0.1:1", server.port, admin={"credential": {"env": "ADMIN_CREDENTIAL"}})
        with enforcer(text, SECRETS) as process, Client(process.port, token="other-token") as client:
            for method in ("GET", "POST"):
                assert client.request(method, "/thing?x=1", [("X-Request-Id", "a/1")]).status == 403
            yield process


def why(process: Enforcer, *arguments: str, **secrets: str) -> Result:
    options = ["--config", str(process.config), "--admin", f"http://127.0.0.1:{process.admin_port}/"]
    return CliRunner(env={**SECRETS, **secrets}).invoke(main, ["why", *options, *arguments])


def test_a_denial_is_explained_as_text(running: Enforcer) -> None:
    """Every denial with the id, with its time, conditions and response."""
    result = why(running, "a/1")
    assert result.exit_code == 0
    first, second = result.stdout.split("\n\n2")
    assert first.splitlines()[0].endswith("  from 127.0.0.1")
    host = f"localhost:{running.port}"
    assert second.splitlines()[1] == f"POST /thing  host {host}"
    assert first.splitlines()[1:] == [
        f"GET /thing  host {host}",
        "",
        'conditions of rule "all else":',
        "  ✓  token   needed: an access token  there: one",
        "  ✓  state   needed: active           there: active",
        "  ✓  time    needed: valid now        there: no expiry",
        "  ✗  scopes  needed: read             there: nothing",
        "",
        "decision: deny, insufficient_scope",
        "answer: 403, the token lacks a scope; needed: read",
        '  WWW-Authenticate: Bearer error="insufficient_scope", scope="read"',
    ]


def test_a_denial_is_explained_as_json(running: Enforcer) -> None:
    """The response of the admin server."""
    report = json.loads(why(running, "a/1", "--json").stdout)
    assert [denial["method"] for denial in report["decisions"]] == ["GET", "POST"]


def test_an_unknown_id_has_exit_code_1(running: Enforcer) -> None:
    """The request was allowed, or is too long ago."""
    result = why(running, "other")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith(": no recent denial has this id\n")


def test_if_the_enforcer_cannot_be_asked_the_reason_is_reported(running: Enforcer, tmp_path: Path) -> None:
    """Exit code 2 for a wrong or missing credential, no enforcer, no URL, no configuration. No secret is shown."""
    wrong = why(running, "a/1", ADMIN_CREDENTIAL="another")
    assert (wrong.exit_code, "401 Unauthorized: is this the credential of this enforcer?" in wrong.stderr) == (2, True)
    for changed, message in (
        ({"admin": {"address": "127.0.0.1:1"}}, "admin.credential is not set"),
        (
            {"admin": {"address": ":1", "credential": {"env": "ADMIN_CREDENTIAL"}}},
            "http://127.0.0.1:1/decisions/a: Connection refused: is the enforcer running",
        ),
        ({"admin": {"address": "[::1]:1", "credential": {"env": "ADMIN_CREDENTIAL"}}}, "http://[::1]:1/decisions/a: "),
    ):
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps({**json.loads(running.config.read_text()), **changed}))
        result = CliRunner(env=SECRETS).invoke(main, ["why", "a", "--config", str(path)])
        assert (result.exit_code, message in result.stderr, "operator" in result.stderr) == (2, True, False), (
            result.stderr
        )
    nowhere = why(running, "a/1", "--admin", "file:///etc/passwd")
    assert (nowhere.exit_code, "expected a URL" in nowhere.stderr) == (2, True)
    missing = CliRunner(env=SECRETS).invoke(main, ["why", "a", "--config", str(tmp_path / "missing.yaml")])
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (2, True)


def test_an_error_response_leaves_no_socket_open(running: Enforcer) -> None:
    """The garbage collector would find it later, and a ResourceWarning would fail another test."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        why(running, "other")
        why(running, "a/1", ADMIN_CREDENTIAL="another")
        gc.collect()
    assert [warning for warning in caught if issubclass(warning.category, ResourceWarning)] == []
