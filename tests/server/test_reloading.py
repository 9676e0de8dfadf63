"""Reloads, and what is left of earlier configurations."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness.clients import Client
from harness.configs import RULES, TOKEN, TOKENS, authorization_server, config
from harness.in_process import InProcessProxy, in_process_proxy
from harness.issuers import running_issuer
from harness.ports import closed_port
from harness.servers import Server, introspection_server, raw_server, response
from harness.tunnels import SWITCHING_PROTOCOLS, UPGRADE_REQUEST, hold_tunnel, read_until
from harness.upstreams import Incoming, Upstream, upstream
from harness.waiting import TIMEOUT, eventually

from enforcer.server import reloading
from enforcer.settings.log import Log


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Upstream, Server]]:
    with upstream() as app, introspection_server(TOKENS) as server:
        yield app, server


@pytest.fixture
def running(servers: tuple[Upstream, Server]) -> Iterator[InProcessProxy]:
    app, server = servers
    with in_process_proxy(config(app.url, server.port)) as running:
        yield running


def exposed_routes(running: InProcessProxy) -> set[str]:
    """Return the rules that have a series in the metrics."""
    return set(re.findall(r'enforcer_decisions_total\{.*route="([^"]*)"', running.telemetry.exposition().decode()))


def cyclic_garbage() -> set[str]:
    """Return the names of the enforcer's classes that only the garbage collector can free."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return {
            type(garbage).__qualname__ for garbage in gc.garbage if type(garbage).__module__.startswith("enforcer.")
        }
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_nothing_is_left_of_retired_configurations(servers: tuple[Upstream, Server], running: InProcessProxy) -> None:
    """After many reloads, each of which changed every resource."""
    app, server = servers
    initial = running.reloader.resources.kinds()
    lifetimes = []
    with Client(running.port) as client, Client(running.port) as tunnelling:
        app.handler = hold_tunnel
        tunnelling.socket.sendall(UPGRADE_REQUEST)
        assert read_until(tunnelling.socket, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        app.handler = Incoming.respond
        for number in range(40):
            lifetimes.append(weakref.ref(running.registry.snapshot.lifetime_token))
            assert client.request("GET", f"/thing/{number}").status == 200
            changes: dict[str, Any] = {
                "rules": [{"name": f"rule {number}", "path": "/**", "scopes": ["read"]}],
                "upstream": {"pool": {"connections": number + 1}},
                "authorization_servers": [authorization_server(server.port, timeout=f"{number + 1}s")],
                "cache": {"entries": number + 1},
                "limits": {"unseen_tokens": {"burst": number + 1}},
                "forwarding": {"identity": {f"X-User-{number}": "sub"}},
            }
            running.swap(config(app.url, server.port, **changes))
        assert client.request("GET", "/thing").status == 200
        assert eventually(lambda: not any(lifetime() for lifetime in lifetimes))
        assert eventually(lambda: running.reloader.resources.kinds() == initial)
        assert exposed_routes(running) == {"rule 39"}
        tunnelling.socket.sendall(b"x")
    assert gc.isenabled()


def test_remote_documents_are_kept_when_a_secret_is_rotated(servers: tuple[Upstream, Server], tmp_path: Path) -> None:
    """Keys and metadata are not fetched again, so that the server may be down at that time."""
    app, _ = servers
    secret = tmp_path / "secret"
    secret.write_text("old")
    with running_issuer() as issuer:
        client = {"client_id": "enforcer", "client_secret": {"file": str(secret)}}
        settings = [{"issuer": issuer.url, "verify": "jwt_then_introspect", **client}]
        text = config(app.url, 1, authorization_servers=settings)
        with in_process_proxy(text) as running:
            for value in ("old", "new", "newer"):
                secret.write_text(value)
                running.swap(text)
                with Client(running.port, token=issuer.jwt(scope="read", jti=value)) as asking:
                    assert asking.request("GET", "/thing").status == 200
                issuer.statuses = dict.fromkeys(issuer.paths, "503 Service Unavailable")
        assert set(issuer.paths.values()) == {1}


def test_ten_thousand_rules_do_not_block_the_loop(servers: tuple[Upstream, Server], running: InProcessProxy) -> None:
    """They are read, built and freed on the worker thread: less than 1 ms is left; the test allows 10 ms.

    The fastest of several reloads counts: a step that blocks the loop is in each of them, and a busy machine is not.
    """
    app, server = servers

    def text(version: int) -> str:
        paths = [f"/{version}/{number // 100}/{number % 100}/{{id}}/**" for number in range(10_000)]
        rules = [{"name": path.replace("{id}", "id"), "path": path, "scopes": ["read"]} for path in paths]
        return config(app.url, server.port, rules=rules)

    assert min(running.swap(text(version)) for version in range(3)) < 0.01
    with Client(running.port) as client:
        assert client.request("GET", "/2/99/99/id/thing").status == 200
    freed = [running.swap(config(app.url, server.port))]
    running.swap(text(3))
    freed.append(running.swap(config(app.url, server.port)))
    assert min(freed) < 0.01


def test_finished_requests_leave_no_cyclic_garbage(servers: tuple[Upstream, Server]) -> None:
    """A reload freezes the heap, so the collector would never free cycles of running requests."""
    app, _ = servers

    def tunnel(incoming: Incoming) -> None:
        incoming.send_raw(SWITCHING_PROTOCOLS + b"first")
        incoming.wait_for_close()

    with (
        raw_server(
            lambda head, body: response(b"no JSON" if b"odd" in body else b'{"active": true, "scope": "read"}')
        ) as odd,
        closed_port() as port,
        in_process_proxy(config(f"http://127.0.0.1:{port}", odd.port)) as running,
    ):
        for token in ("good-token", "odd-token"):
            with Client(running.port, token=token) as client:
                assert client.request("GET", "/thing").status in (502, 503)
        running.swap(config(app.url, odd.port))
        app.handler = tunnel
        for _ in range(2):
            with Client(running.port) as client:
                client.socket.sendall(UPGRADE_REQUEST)
                assert read_until(client.socket, b"first").endswith(b"first")
        app.handler = Incoming.respond
        with Client(running.port) as client:
            assert client.request("POST", "/thing", body=b"body").status == 200
            client.socket.sendall(b"GET /cut HT")
        assert eventually(lambda: not running.registry.connections)
        assert cyclic_garbage() == set()


def test_finished_streams_and_connections_leave_no_cyclic_garbage(servers: tuple[Upstream, Server]) -> None:
    """Of HTTP/2, on both sides."""
    grpc = pytest.importorskip("grpc", reason="needs grpcio")
    from harness.grpc_app import grpc_app

    _, server = servers
    metadata = [("authorization", f"Bearer {TOKEN}")]
    with ExitStack() as apps:
        _, port = apps.enter_context(grpc_app())
        app = {"url": f"http://127.0.0.1:{port}", "protocol": "h2c"}
        with in_process_proxy(config("", server.port, upstream=app)) as running:
            with grpc.insecure_channel(f"127.0.0.1:{running.port}") as channel:
                call = channel.unary_unary("/Echo/Unary")
                assert call(b"hello", metadata=metadata, timeout=TIMEOUT) == b"re: hello"
                apps.close()
                with pytest.raises(grpc.RpcError):
                    call(b"hello", metadata=metadata, timeout=TIMEOUT)
            assert eventually(lambda: not running.registry.connections)
            assert cyclic_garbage() == set()


def test_the_configuration_stays_in_force_after_an_internal_error(
    servers: tuple[Upstream, Server],
    running: InProcessProxy,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It counts as a failed reload, and the next change is read."""
    app, server = servers
    before = running.reloader.resources.kinds()
    with Client(running.port) as client, monkeypatch.context() as patched:
        assert client.request("GET", "/thing").status == 200
        patched.setattr(reloading, "assemble", None)
        running.swap(config(app.url, server.port, rules=[{"name": "none", "path": "/", "public": True}]))
        assert client.request("GET", "/thing").status == 200
        assert (running.telemetry.config_successful, running.telemetry.config_reloads["failure"]) == (False, 1)
        assert "internal error; the new configuration is not used" in caplog.text
        patched.undo()
        running.swap(config(app.url, server.port, rules=[{"name": "none", "path": "/", "public": True}]))
        assert client.request("GET", "/thing").status == 403
    assert eventually(lambda: running.reloader.resources.kinds() == before)


def test_level_and_format_of_the_log_can_change(servers: tuple[Upstream, Server], running: InProcessProxy) -> None:
    """By a reload."""
    app, server = servers
    running.swap(config(app.url, server.port, rules=RULES, log={"level": "error", "format": "json"}))
    assert running.log_settings == [Log(level="error", format="json")]
