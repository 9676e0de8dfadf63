"""Relaying probes and metrics to an app that only the enforcer can reach."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from harness.ports import closed_port
from harness.servers import raw_server, response
from starlette.applications import Starlette

from enforcer.errors import ConfigError
from enforcer.kubernetes import names
from enforcer.operations.probe_relay import APP_METRICS, PROBES, Relay


def ask(environment: Mapping[str, str], path: str) -> httpx.Response:
    """Send a request to an admin server that has only the relay's routes."""
    app = Starlette(routes=Relay(environment).routes)

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://admin") as client:
            return await client.get(path)

    return asyncio.run(get())


def probe(**action: Any) -> int:
    """Return the status of the relayed readiness probe."""
    return ask({PROBES: json.dumps({"app/readyz": action})}, "/probes/app/readyz").status_code


def test_the_variables_are_those_written_by_inject() -> None:
    """`kubernetes` writes them and `operations` reads them."""
    assert (PROBES, APP_METRICS) == (names.PROBES, names.APP_METRICS)


@pytest.mark.parametrize(
    ("status", "relayed"), [("200 OK", 200), ("204 No Content", 200), ("404 Not Found", 503), ("500 No", 503)]
)
def test_an_http_probe_is_sent_as_the_kubelet_would(status: str, relayed: int) -> None:
    """With its path and its fields; a status from 200 to 399 is success."""
    action = {"path": "health?x=1", "port": "http", "httpHeaders": [{"name": "Host", "value": "app.example"}]}
    with raw_server(lambda head, body: response(b"", status)) as app:
        assert probe(httpGet=action, port=app.port, timeoutSeconds=5) == relayed
        ((head, _),) = app.requests
    assert head.startswith(b"GET /health?x=1 HTTP/1.1\r\n")
    assert b"\r\nhost: app.example\r\n" in head.lower()
    assert b"\r\nuser-agent: kube-probe/" in head.lower()


def test_a_redirect_is_followed_only_within_the_app() -> None:
    """As with the kubelet, a redirect to another host is success; more than ten in a row are failure."""

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

    with raw_server(answer) as app:
        assert probe(httpGet={"path": "/"}, port=app.port, timeoutSeconds=5) == 503
        assert probe(httpGet={"path": "/away"}, port=app.port, timeoutSeconds=5) == 200
        assert probe(httpGet={"path": "/loop"}, port=app.port, timeoutSeconds=5) == 503


@pytest.mark.parametrize("action", [{"httpGet": {"path": "/"}}, {"tcpSocket": {}}, {"grpc": {}}])
def test_a_probe_of_an_app_that_does_not_listen_fails(action: dict[str, Any]) -> None:
    """For each kind of probe."""
    with closed_port() as port:
        assert probe(**action, port=port) == 503


@pytest.mark.parametrize("action", [{"httpGet": {"path": "/"}}, {"grpc": {"service": "x"}}])
def test_a_probe_without_a_timely_response_fails(action: dict[str, Any]) -> None:
    """`timeoutSeconds` is the limit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert probe(**action, port=server.getsockname()[1], timeoutSeconds=0.05) == 503


def test_a_tcp_probe_only_needs_a_connection() -> None:
    """No bytes are sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert probe(tcpSocket={"port": 1}, port=server.getsockname()[1]) == 200


def test_only_the_configured_probes_can_be_requested() -> None:
    """The client of the admin server cannot choose port or path."""
    stored = {PROBES: json.dumps({"app/readyz": {"tcpSocket": {}, "port": 1}})}
    for path in ("/probes/app/livez", "/probes/other/readyz", "/probes/app/readyz/x", "/app-metrics"):
        assert ask(stored, path).status_code == 404
    assert ask({}, "/probes/app/readyz").status_code == 404


@pytest.mark.parametrize("text", ["", "x", "[]", '{"a/b": 1}', '{"a/b": {"port": 1}}', '{"a/b": {"httpGet": {}}}'])
def test_an_invalid_variable_prevents_the_start(text: str) -> None:
    """Starting without it would leave the pod without probes."""
    with pytest.raises(ConfigError, match="not what `enforcer inject` writes"):
        Relay({PROBES: text})


def test_the_apps_metrics_are_relayed() -> None:
    """With their content type; if the app is unreachable, the status is 502."""
    with raw_server(lambda head, body: response(b"up 1\n", "200 OK", "Content-Type: text/plain; version=0.0.4")) as app:
        answer = ask({APP_METRICS: f"http://127.0.0.1:{app.port}/metrics"}, "/app-metrics")
    assert (answer.status_code, answer.text) == (200, "up 1\n")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    with closed_port() as port:
        assert ask({APP_METRICS: f"http://127.0.0.1:{port}/metrics"}, "/app-metrics").status_code == 502
