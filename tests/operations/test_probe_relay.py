"""What the admin side asks of an app that only the enforcer can reach."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from harness.servers import response, serving
from starlette.applications import Starlette

from enforcer.errors import ConfigError
from enforcer.kubernetes import names
from enforcer.operations.probe_relay import APP_METRICS, PROBES, routes


def ask(environment: Mapping[str, str], path: str) -> httpx.Response:
    """Ask an admin side that has nothing else."""
    app = Starlette(routes=routes(environment))

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://admin") as client:
            return await client.get(path)

    return asyncio.run(get())


def probe(**kept: Any) -> int:
    """Return the status of a readiness probe."""
    return ask({PROBES: json.dumps({"app/readyz": kept})}, "/probes/app/readyz").status_code


def closed() -> int:
    """Return a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_variables_are_those_that_the_injector_writes() -> None:
    """One is written by one room, and read by another."""
    assert (PROBES, APP_METRICS) == (names.PROBES, names.APP_METRICS)


@pytest.mark.parametrize(
    ("status", "well"), [("200 OK", 200), ("204 No Content", 200), ("404 Not Found", 503), ("500 No", 503)]
)
def test_an_http_probe_asks_as_the_kubelet_does(status: str, well: int) -> None:
    """Its path and its fields; from 200 to 399 it is well."""
    action = {"path": "health?x=1", "port": "http", "httpHeaders": [{"name": "Host", "value": "app.example"}]}
    with serving(lambda head, body: response(b"", status)) as app:
        assert probe(httpGet=action, port=app.port, timeoutSeconds=5) == well
        ((head, _),) = app.requests
    assert head.startswith(b"GET /health?x=1 HTTP/1.1\r\n")
    assert b"\r\nhost: app.example\r\n" in head.lower()
    assert b"\r\nuser-agent: kube-probe/" in head.lower()


def test_a_redirect_is_followed_within_the_app_and_no_further() -> None:
    """One to elsewhere says that the app is well."""

    def answer(head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET /away"):
            return response(b"", "302 Found", "Location: http://elsewhere.invalid/")
        if head.startswith(b"GET /loop"):
            return response(b"", "302 Found", "Location: /loop")
        return (
            response(b"", "500 No")
            if head.startswith(b"GET /there")
            else response(b"", "302 Found", "Location: /there")
        )

    with serving(answer) as app:
        assert probe(httpGet={"path": "/"}, port=app.port, timeoutSeconds=5) == 503
        assert probe(httpGet={"path": "/away"}, port=app.port, timeoutSeconds=5) == 200
        assert probe(httpGet={"path": "/loop"}, port=app.port, timeoutSeconds=5) == 503


@pytest.mark.parametrize("action", [{"httpGet": {"path": "/"}}, {"tcpSocket": {}}, {"grpc": {}}])
def test_an_app_that_does_not_listen_is_not_well(action: dict[str, Any]) -> None:
    """Whatever the probe."""
    assert probe(**action, port=closed()) == 503


@pytest.mark.parametrize("action", [{"httpGet": {"path": "/"}}, {"grpc": {"service": "x"}}])
def test_an_app_that_does_not_answer_in_time_is_not_well(action: dict[str, Any]) -> None:
    """`timeoutSeconds` is kept."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert probe(**action, port=server.getsockname()[1], timeoutSeconds=0.05) == 503


def test_a_tcp_probe_wants_a_connection_alone() -> None:
    """Nothing is sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert probe(tcpSocket={"port": 1}, port=server.getsockname()[1]) == 200


def test_only_what_was_stored_can_be_asked() -> None:
    """Who asks chooses nothing."""
    stored = {PROBES: json.dumps({"app/readyz": {"tcpSocket": {}, "port": closed()}})}
    for path in ("/probes/app/livez", "/probes/other/readyz", "/probes/app/readyz/x", "/app-metrics"):
        assert ask(stored, path).status_code == 404
    assert ask({}, "/probes/app/readyz").status_code == 404


@pytest.mark.parametrize("text", ["", "x", "[]", '{"a/b": 1}', '{"a/b": {"port": 1}}', '{"a/b": {"httpGet": {}}}'])
def test_what_nobody_wrote_starts_nothing(text: str) -> None:
    """It would leave the pod without probes."""
    with pytest.raises(ConfigError, match="not what `enforcer inject` writes"):
        routes({PROBES: text})


def test_the_apps_metrics_are_passed_on() -> None:
    """Their type with them; an app that is gone is 502."""
    with serving(lambda head, body: response(b"up 1\n", "200 OK", "Content-Type: text/plain; version=0.0.4")) as app:
        answer = ask({APP_METRICS: f"http://127.0.0.1:{app.port}/metrics"}, "/app-metrics")
    assert (answer.status_code, answer.text) == (200, "up 1\n")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert ask({APP_METRICS: f"http://127.0.0.1:{closed()}/metrics"}, "/app-metrics").status_code == 502
