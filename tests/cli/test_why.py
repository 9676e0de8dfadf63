"""Asking a running enforcer why it refused a request."""

from __future__ import annotations

import json
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
    """An enforcer that refused one request twice."""
    with introspection_server(TOKENS) as server:
        text = config("http://127.0.0.1:1", server.port, admin={"credential": {"env": "ADMIN_CREDENTIAL"}})
        with enforcer(text, SECRETS) as process, Client(process.port, token="other-token") as client:
            for method in ("GET", "POST"):
                assert client.request(method, "/thing?x=1", [("X-Request-Id", "a/1")]).status == 403
            yield process


def why(process: Enforcer, *arguments: str, **secrets: str) -> Result:
    where = ["--config", str(process.config), "--admin", f"http://127.0.0.1:{process.admin_port}/"]
    return CliRunner(env={**SECRETS, **secrets}).invoke(main, ["why", *where, *arguments])


def test_a_refusal_is_told_in_words(running: Enforcer) -> None:
    """Each time that the id was used, with time, conditions and answer."""
    ended = why(running, "a/1")
    assert ended.exit_code == 0
    first, second = ended.stdout.split("\n\n2")
    assert second.splitlines()[1] == "POST /thing"
    assert first.splitlines()[1:] == [
        "GET /thing",
        "",
        'conditions of rule "all else":',
        "  ✓  token   needed: an access token  there: one",
        "  ✓  state   needed: active           there: active",
        "  ✓  time    needed: valid now        there: no end is stated",
        "  ✗  scopes  needed: read             there: nothing",
        "",
        "decision: deny, insufficient_scope",
        "answer: 403, the token lacks a scope; needed: read",
        '  WWW-Authenticate: Bearer error="insufficient_scope", scope="read"',
    ]


def test_a_refusal_is_told_as_json(running: Enforcer) -> None:
    """As the admin side says it."""
    told = json.loads(why(running, "a/1", "--json").stdout)
    assert [one["method"] for one in told["decisions"]] == ["GET", "POST"]


def test_an_id_that_is_not_remembered_ends_with_1(running: Enforcer) -> None:
    """It may have been allowed, or too long ago."""
    ended = why(running, "other")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.endswith(": no refusal with this id is remembered\n")


def test_who_cannot_ask_is_told_why(running: Enforcer, tmp_path: Path) -> None:
    """A wrong credential, none, no enforcer, no URL, no configuration: 2, and no secret is told."""
    wrong = why(running, "a/1", ADMIN_CREDENTIAL="another")
    assert (wrong.exit_code, "401 Unauthorized: is the credential that of this enforcer?" in wrong.stderr) == (2, True)
    for changed, said in (
        ({"admin": {"address": "127.0.0.1:1"}}, "admin.credential is not set"),
        ({"admin": {"address": ":1", "credential": {"env": "ADMIN_CREDENTIAL"}}}, "http://127.0.0.1:1/decisions/a: "),
        ({"admin": {"address": "[::1]:1", "credential": {"env": "ADMIN_CREDENTIAL"}}}, "http://[::1]:1/decisions/a: "),
    ):
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps({**json.loads(running.config.read_text()), **changed}))
        ended = CliRunner(env=SECRETS).invoke(main, ["why", "a", "--config", str(path)])
        assert (ended.exit_code, said in ended.stderr, "operator" in ended.stderr) == (2, True, False), ended.stderr
    nowhere = why(running, "a/1", "--admin", "file:///etc/passwd")
    assert (nowhere.exit_code, "expected a URL" in nowhere.stderr) == (2, True)
    missing = CliRunner(env=SECRETS).invoke(main, ["why", "a", "--config", str(tmp_path / "missing.yaml")])
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (2, True)
