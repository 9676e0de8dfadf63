"""Reloads of a real process, by changed files and by signals, while it serves requests."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from harness import plain_http
from harness.certificates import Authority
from harness.clients import Client
from harness.configs import RULES, TOKEN, TOKENS, authorization_server, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, introspection_server
from harness.upstreams import Incoming, Upstream, upstream
from harness.waiting import TIMEOUT, eventually, settled

DENY_ALL: list[dict[str, Any]] = [{"name": "all else", "path": "/**", "scopes": ["never"]}]
BROKEN = """\
listener: {address: "127.0.0.1:0"}
limits: {head: many}
rules:
  - {name: one, path: nowhere, scopes: [read]}
"""
RELOADS = int(os.environ.get("RELOADS", "30"))


class Stack:
    """An enforcer whose configuration and secrets are files in a folder, its app and its authorization server."""

    process: Enforcer

    def __init__(self, app: Upstream, server: Server, folder: Path) -> None:
        self.app = app
        self.server = server
        self.folder = folder
        self.path = folder / "config.yaml"
        self.write("secret", "old")
        self.write("credential", "old")

    def text(self, rules: list[dict[str, Any]] = RULES, *, secret: str = "secret", **changes: Any) -> str:
        """Return a configuration."""
        servers = [authorization_server(self.server.port, client_secret={"file": secret})]
        settings = {"admin": {"credential": {"file": "credential"}}, "authorization_servers": servers, **changes}
        return config(self.app.url, self.server.port, rules=rules, **settings)

    def write(self, name: str, text: str) -> None:
        """Write a file in the folder."""
        (self.folder / name).write_text(text)

    def status(self, token: str = TOKEN) -> int:
        """Return the status of a request on a new connection."""
        with Client(self.process.port, token=token) as client:
            return client.request("GET", "/thing").status

    def metric(self, name: str) -> float:
        """Return the value of a series, named as in the exposition; 0 if it does not exist."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.process.admin_port}/metrics", timeout=TIMEOUT) as response:
            lines = (line.rpartition(" ") for line in response.read().decode().splitlines())
        return next((float(value) for series, _, value in lines if series == f"enforcer_{name}"), 0.0)

    def reloads(self, result: str) -> float:
        """Return the number of reloads with this result."""
        return self.metric(f'config_reloads_total{{result="{result}"}}')

    def reload(self, text: str | None = None, result: str = "success") -> None:
        """Write the configuration, send SIGHUP, and wait for a reload with this result."""
        before, logged_before = self.reloads(result), self._logged(result)
        if text is not None:
            self.write("config.yaml", text)
        self.process.process.send_signal(signal.SIGHUP)
        # A thread writes the log: wait for it, or the lines would be taken for those of the next reload.
        logged = eventually(lambda: self.reloads(result) > before and self._logged(result) > logged_before)
        assert logged, self.process.log()

    def _logged(self, result: str) -> int:
        return self.process.log().count("is in force, after" if result == "success" else "is not used, the previous")

    def log(self, expected: int = 0) -> list[str]:
        """Return the warnings and errors of reloads logged since the last call, once there are as many."""
        eventually(lambda: len(self._warnings()) >= expected)
        settled(lambda: len(self.process.log()), 0.05)  # to see whether there are more
        warnings = self._warnings()
        self.process.lines.clear()
        return warnings

    def _warnings(self) -> list[str]:
        lines = re.findall(r"(?:WARNING|ERROR) +enforcer: (.*)\n", self.process.log())
        return [line.replace(f"{self.folder}/", "") for line in lines]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Upstream, Server]]:
    with upstream() as app, introspection_server(TOKENS) as server:
        yield app, server


@pytest.fixture(scope="module")
def shared(servers: tuple[Upstream, Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(*servers, tmp_path_factory.mktemp("shared"))
    stack.write("config.yaml", stack.text())
    with enforcer(stack.path) as stack.process:
        yield stack


@pytest.fixture
def stack(shared: Stack) -> Stack:
    """The shared stack, with its initial configuration and secrets."""
    shared.write("secret", "old")
    shared.write("credential", "old")
    shared.reload(shared.text())
    shared.log()
    return shared


# Changed files


def test_a_changed_file_is_in_force_a_moment_later(stack: Stack) -> None:
    """Without a signal; metrics show which configuration is in force, and since when."""
    before = stack.metric("config_last_reload_success_timestamp_seconds")
    text = stack.text(DENY_ALL)
    stack.write("config.yaml", text)
    assert eventually(lambda: stack.status() == 403)
    info = f'config_info{{hash="{sha256(text.encode()).hexdigest()[:16]}"}}'
    assert eventually(lambda: stack.metric(info) == 1)
    assert stack.metric("config_last_reload_success_timestamp_seconds") > before


def test_a_missing_file_is_noticed_when_it_appears(stack: Stack) -> None:
    """Missing files are watched, too."""
    stack.reload(stack.text(DENY_ALL, secret="missing"), "failure")
    assert stack.log(2)[1].endswith('client_secret: "missing" cannot be read: No such file or directory')
    stack.write("missing", "secret")
    assert eventually(lambda: stack.status() == 403)
    (stack.folder / "missing").unlink()


def test_a_file_added_to_a_rules_folder_is_in_force(stack: Stack) -> None:
    """And a removed one is not: the folder is watched, too."""
    (stack.folder / "rules").mkdir()
    stack.write("rules/deny.yaml", json.dumps({"rules": DENY_ALL}))
    stack.reload(stack.text([], rule_files=["rules"]))
    assert stack.status() == 403
    stack.write("rules/thing.yaml", json.dumps({"rules": [{"name": "thing", "path": "/thing", "scopes": ["read"]}]}))
    assert eventually(lambda: stack.status() == 200)
    (stack.folder / "rules" / "thing.yaml").unlink()
    assert eventually(lambda: stack.status() == 403)


def publish(folder: Path, version: str, text: str) -> None:
    """Swap the configuration in a folder as the kubelet does for a ConfigMap."""
    (folder / version).mkdir()
    (folder / version / "config.yaml").write_text(text)
    (folder / "..data_tmp").symlink_to(version)
    os.replace(folder / "..data_tmp", folder / "..data")


def test_a_swapped_folder_is_read_again(servers: tuple[Upstream, Server], tmp_path: Path) -> None:
    """After many swaps, some of them to invalid files, the last valid configuration is in force."""
    stack = Stack(*servers, tmp_path)
    publish(tmp_path, "..v0", stack.text())
    stack.path.symlink_to("..data/config.yaml")
    with enforcer(stack.path) as stack.process:
        for number in range(1, 20):
            publish(tmp_path, f"..v{number}", BROKEN if number % 2 else stack.text())
        publish(tmp_path, "..v20", stack.text(DENY_ALL))
        assert eventually(lambda: stack.status() == 403)
        assert eventually(lambda: stack.metric("config_last_reload_successful") == 1)
        publish(tmp_path, "..v21", BROKEN)
        assert eventually(lambda: stack.metric("config_last_reload_successful") == 0)
        assert stack.status() == 403


# The new configuration


def test_an_invalid_file_changes_nothing_and_a_corrected_one_does(stack: Stack) -> None:
    """Each error is logged once; metrics show that the file differs from the configuration in force."""
    stack.reload(BROKEN, "failure")
    assert stack.metric("config_last_reload_successful") == 0
    assert stack.status() == 200
    lines = stack.log(5)
    assert lines[0] == "the new configuration is not used, the previous one stays in force; errors: 4"
    assert [line.split(":")[:2] for line in lines[1:]] == [["config.yaml", line] for line in ("1", "1", "2", "4")]
    stack.reload(stack.text(DENY_ALL))
    assert stack.metric("config_last_reload_successful") == 1
    assert stack.status() == 403


def test_a_rotated_secret_is_used_and_the_cache_is_kept(stack: Stack) -> None:
    """The next introspection request uses it; cached tokens stay cached."""
    stack.reload(stack.text(cache={"negative_ttl": "1ms"}))
    assert stack.status() == 200
    stack.server.requests.clear()
    for secret in ("old", "new"):
        stack.write("secret", secret)
        stack.reload()
        assert (stack.status(), stack.status(f"unknown to {secret}".replace(" ", "-"))) == (200, 401)
    matches = [re.search(rb"Authorization: Basic (\S+)", head) for head, _ in stack.server.requests]
    assert [base64.b64decode(match[1]) for match in matches if match] == [b"enforcer:old", b"enforcer:new"]


def test_the_credential_of_the_operator_can_be_rotated(stack: Stack) -> None:
    """The old one is no longer accepted."""

    def purge(credential: str) -> int:
        url = f"http://127.0.0.1:{stack.process.admin_port}/cache/purge"
        fields = {"Authorization": f"Bearer {credential}"}
        return plain_http.post(url, json={"token": "any"}, headers=fields).status_code

    assert (purge("old"), purge("new")) == (200, 401)
    stack.write("credential", "new")
    stack.reload()
    assert (purge("old"), purge("new")) == (401, 200)


def test_a_renewed_certificate_is_used_for_new_connections(servers: tuple[Upstream, Server], tmp_path: Path) -> None:
    """Open connections continue; a certificate without its key changes nothing."""
    stack = Stack(*servers, tmp_path)
    old, new = (Authority(tmp_path, name) for name in ("old", "new"))

    def install(authority: Authority) -> None:
        for source, target in zip(authority.issue("localhost"), ("tls.crt", "tls.key"), strict=True):
            os.replace(source, tmp_path / target)

    def trusted_by(authority: Authority) -> bool:
        try:
            with Client(stack.process.port, tls=authority.client_context()) as another:
                return another.request("GET", "/thing").status == 200
        except ssl.SSLCertVerificationError:
            return False

    install(old)
    stack.write("config.yaml", stack.text(listener={"tls": {"certificate": "tls.crt", "key": "tls.key"}}))
    with enforcer(stack.path) as stack.process, Client(stack.process.port, tls=old.client_context()) as client:
        assert client.request("GET", "/thing").status == 200
        os.replace(new.issue("localhost")[0], tmp_path / "tls.crt")
        stack.reload(result="failure")
        assert trusted_by(old)
        install(new)
        stack.reload()
        assert (trusted_by(old), trusted_by(new)) == (False, True)
        assert client.request("GET", "/thing").status == 200


def test_a_stop_during_a_reload_is_clean(stack: Stack) -> None:
    """The reload is abandoned without an error."""
    rules = [{"name": f"rule {number}", "path": f"/{number}", "scopes": ["read"]} for number in range(2000)]
    with enforcer(stack.text(rules, secret=f"{stack.folder}/secret", admin={})) as process:
        process.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: "reading the configuration again" in process.log())
        assert process.stop() == 0
        assert not re.findall("ERROR|Traceback", process.log())


def test_a_setting_that_needs_a_restart_is_logged(stack: Stack) -> None:
    """The address stays, and everything else is in force."""
    stack.reload(stack.text(DENY_ALL, listener={"address": "127.0.0.1:1"}))
    assert stack.status() == 403
    assert stack.log(1) == ["listener.address: 127.0.0.1:1 takes effect after a restart; until then it is 127.0.0.1:0"]


def test_a_running_request_finishes_at_its_app(stack: Stack) -> None:
    """New requests go to the new app, and connections to the old one are closed after its last response."""
    go_on = threading.Event()

    def slow(incoming: Incoming) -> None:
        assert go_on.wait(TIMEOUT)
        incoming.respond(b"old")

    answering = upstream(lambda incoming: incoming.respond(b"new"))
    with upstream(slow) as old, answering as new, ThreadPoolExecutor(1) as pool:
        stack.reload(stack.text(upstream={"url": old.url}))
        with Client(stack.process.port) as first, Client(stack.process.port) as second:
            running = pool.submit(first.request, "GET", "/thing")
            assert eventually(lambda: len(old.requests) == 1)
            stack.reload(stack.text(upstream={"url": new.url}))
            assert second.request("GET", "/thing").body == b"new"
            go_on.set()
            assert running.result(TIMEOUT).body == b"old"
            assert first.request("GET", "/thing").body == b"new"
            assert eventually(lambda: old.open == 0)


def test_no_request_is_lost_during_many_reloads(stack: Stack) -> None:
    """On persistent and on new connections, every request gets the right response. RELOADS=1000 makes more reloads."""
    over = threading.Event()
    warnings: list[str] = []

    def load(*, persistent: bool) -> list[int]:
        statuses = []
        client = Client(stack.process.port)
        while not over.is_set():
            statuses.append(client.request("GET", "/thing").status)
            if not persistent:
                client.close()
                client = Client(stack.process.port)
        client.close()
        return statuses

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load, persistent=bool(number % 2)) for number in range(4)]
        try:
            for number in range(RELOADS):
                rules = [{"name": f"other {number}", "path": "/other", "scopes": ["read"]}, *RULES]
                fields = ("x-forwarded", "forwarded")[number % 2]
                pool_settings = {"pool": {"keep_alive_timeout": f"{1 + number % 3}s"}}
                stack.reload(stack.text(rules, forwarding={"chain": fields}, upstream=pool_settings))
                warnings += stack.log()
        finally:
            over.set()
        statuses = [status for future in loads for status in future.result(60)]
    assert set(statuses) == {200}
    assert len(statuses) > RELOADS
    assert warnings == []
