"""Editors complete and check all three kinds of files, with yaml-language-server as VS Code, Helix and Neovim run it.

The server is the command `yaml-language-server` (`npm install --global yaml-language-server`), or the one that
YAML_LANGUAGE_SERVER names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import CliRunner

from enforcer.cli import main

COMMAND = os.environ.get("YAML_LANGUAGE_SERVER") or shutil.which("yaml-language-server")
pytestmark = pytest.mark.skipif(COMMAND is None, reason="yaml-language-server is not installed (npm)")


class Editor:
    """The editor's side of the Language Server Protocol."""

    def __init__(self, folder: Path) -> None:
        assert COMMAND is not None
        self._folder = folder
        self._number = 0
        self._process = subprocess.Popen(
            [COMMAND, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> Self:
        uri = self._folder.as_uri()
        self._request("initialize", processId=os.getpid(), rootUri=uri, capabilities={}, workspaceFolders=None)
        self._notify("initialized")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def errors(self, name: str, text: str) -> list[tuple[int, str]]:
        """Open a file, and return the line and message of each error."""
        uri = self._open(name, text)
        while True:
            message = self._receive()
            parameters = message.get("params", {})
            if message.get("method") == "textDocument/publishDiagnostics" and parameters["uri"] == uri:
                return [(each["range"]["start"]["line"] + 1, each["message"]) for each in parameters["diagnostics"]]

    def completions(self, name: str, text: str) -> set[str]:
        """Open a file, and return what may be written at its end."""
        uri, lines = self._open(name, text), text.split("\n")
        position = {"line": len(lines) - 1, "character": len(lines[-1])}
        result = self._request("textDocument/completion", textDocument={"uri": uri}, position=position)
        return {item["label"] for item in (result["items"] if isinstance(result, dict) else result)}

    def _open(self, name: str, text: str) -> str:
        uri = (self._folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._notify("textDocument/didOpen", textDocument=document)
        return uri

    def _request(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._send({"id": self._number, "method": method, "params": parameters})
        while True:
            message = self._receive()
            if message.get("id") == self._number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def _notify(self, method: str, **parameters: Any) -> None:
        self._send({"method": method, "params": parameters})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        """Return the next message; requests of the server get an empty response."""
        assert self._process.stdout is not None
        length = 0
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b": ")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the language server has ended"
        message: dict[str, Any] = json.loads(self._process.stdout.read(length))
        if "id" in message and "method" in message:
            items = message["params"].get("items", []) if message["method"] == "workspace/configuration" else []
            self._send({"id": message["id"], "result": [None] * len(items)})
        return message


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """Return an editor in a folder with the three schemas."""
    folder = tmp_path_factory.mktemp("policy")
    for kind in ("config", "rules", "tests"):
        printed = CliRunner().invoke(main, ["schema", kind]).stdout
        (folder / f"{kind}.schema.json").write_text(printed, "utf-8")
    with Editor(folder) as opened:
        yield opened


def modeline(kind: str) -> str:
    """Return the first line of a file, as the documentation shows it."""
    return f"# yaml-language-server: $schema={kind}.schema.json\n"


CONFIG = (Path(__file__).parents[2] / "config.yaml").read_text("utf-8")
RULES = """\
rule_defaults:
  claims: {tenant: a}
rules:
  - name: read
    path: /orders/{id}
    methods: [GET]
    scopes: [orders.read]
    claims: {tenant: null}
    max_answer_age: 5s
"""
TESTS = """\
tokens:
  reader: {scope: orders.read}
tests:
  - {name: reads, request: GET /orders/7, token: reader, expect: allow}
"""


@pytest.mark.parametrize(
    ("kind", "text", "errors"),
    [
        ("rules", RULES, []),
        ("rules", RULES.replace("scopes:", "scope:"), [(8, "Property scope is not allowed")]),
        ("rules", RULES.replace("[GET]", "[get]"), [(7, "String does not match the pattern")]),
        ("rules", RULES.replace("/orders", "orders"), [(6, "String does not match the pattern")]),
        ("tests", TESTS, []),
        ("tests", TESTS.replace("allow", "allowed"), [(5, "Value is not accepted")]),
        ("tests", TESTS.replace(", expect: allow", ""), [(5, 'Missing property "expect"')]),
        ("config", CONFIG, []),
    ],
)
def test_an_editor_marks_what_is_wrong(editor: Editor, kind: str, text: str, errors: list[tuple[int, str]]) -> None:
    """And nothing else, at its line."""
    reported = editor.errors(f"{kind}-{abs(hash(text))}.yaml", modeline(kind) + text)
    assert [line for line, _ in reported] == [line for line, _ in errors], reported
    assert all(any(message.startswith(text) for _, message in reported) for _, text in errors), reported


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("rules", "rules:\n  - name: a\n    ", {"path", "paths", "scopes", "any_of", "claims", "public", "host"}),
        ("rules", "rule_defaults:\n  ", {"host", "audience", "methods"}),
        ("rules", "rules:\n  - name: a\n    path: /a\n    on_outage: ", {"deny", "stale"}),
        ("tests", "tests:\n  - name: a\n    expect: ", {"allow", "deny", "would_deny"}),
        ("config", "", {"upstream", "authorization_servers", "rule_files", "mode"}),
    ],
)
def test_an_editor_completes_keys_and_values(editor: Editor, kind: str, text: str, expected: set[str]) -> None:
    """Of the place where the cursor is."""
    assert expected <= editor.completions(f"{kind}-completion-{len(text)}.yaml", modeline(kind) + text)
