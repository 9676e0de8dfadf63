"""The limits of a running enforcer's admin server: its clients and those of the app do not affect each other."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from harness.clients import Client
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, raw_server, response
from harness.upstreams import Upstream
from harness.usage import metric, resident_memory
from harness.waiting import TIMEOUT, eventually

from enforcer.operations.probe_relay import APP_METRICS

CONNECTIONS = 5
LARGE = 32 << 20
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def limited(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer whose admin server has few places, but as much time as by default: a busy machine stretches it."""
    admin = {"connections": CONNECTIONS, "wrong_credentials": 2, "credential": {"env": "ADMIN"}}
    text = config(shared_app.url, authorization_server.port, admin=admin)
    with enforcer(text, {"ADMIN": "operator"}) as process:
        yield process


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), TIMEOUT)


def status(port: int, path: str, credential: str = "") -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if credential:
        request.add_header("Authorization", f"Bearer {credential}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_idle_connections_keep_nobody_out(limited: Enforcer) -> None:
    """For a new connection the oldest idle one ends; clients of the app are not affected."""
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(limited.admin_port)) for _ in range(10 * CONNECTIONS)]
        assert status(limited.admin_port, "/livez") == 200
        assert eventually(lambda: sum(map(is_open, idle)) <= CONNECTIONS)
        with Client(limited.port) as client:
            assert client.request("GET", "/thing").status == 200
    assert metric(limited, 'enforcer_admin_refusals_total{reason="connections"}') >= 9 * CONNECTIONS - 1


def test_a_connection_that_waits_is_ended(shared_app: Upstream, authorization_server: Server) -> None:
    """Before a request, within its head, and after a response."""
    text = config(shared_app.url, authorization_server.port, admin={"timeout": "500ms"})
    with enforcer(text) as process, ExitStack() as stack:
        connections = [stack.enter_context(connect(process.admin_port)) for _ in range(3)]
        for connection, sent in zip(connections, (b"", LIVEZ[:13], LIVEZ), strict=True):
            connection.sendall(sent)
        for connection in connections:
            while connection.recv(1000):
                pass


@pytest.mark.parametrize(
    "sent",
    [b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000, LIVEZ * 2000],
    ids=["a long head", "pipelined requests"],
)
def test_a_flood_on_one_connection_ends_it(limited: Enforcer, sent: bytes) -> None:
    """Neither the memory nor the work that it takes grows with what is sent."""
    received = b""
    with connect(limited.admin_port) as connection:
        try:
            connection.sendall(sent)
            while data := connection.recv(65_536):
                received += data
        except OSError:  # reset, because it had not read everything
            pass
    assert received.count(b"HTTP/1.1 ") <= 2


def test_wrong_credentials_are_limited_counted_and_logged(limited: Enforcer) -> None:
    """Once a minute in the log, without the credential."""
    limited.log()
    statuses = [status(limited.admin_port, "/decisions/x", "guess-1234") for _ in range(4)]
    assert statuses[:2] == [401, 401]
    assert 429 in statuses
    assert metric(limited, 'enforcer_admin_refusals_total{reason="limit"}') >= 1
    assert eventually(lambda: "a request from 127.0.0.1 has a wrong admin credential" in limited.log())
    assert limited.log().count("wrong admin credential") == 1
    assert "guess-1234" not in limited.log()
    assert eventually(lambda: status(limited.admin_port, "/decisions/x", "operator") == 404)


def test_large_metrics_of_the_app_are_not_held_in_memory(app: Upstream, authorization_server: Server) -> None:
    """However many clients fetch them at once, and however slowly they read; others are served meanwhile."""
    body = b"x" * LARGE
    with raw_server(lambda head, _: response(body)) as metrics:
        environment = {APP_METRICS: f"http://127.0.0.1:{metrics.port}/metrics"}
        with enforcer(config(app.url, authorization_server.port), environment) as process, ExitStack() as stack:
            assert status(process.admin_port, "/app-metrics") == 200
            before = resident_memory(process.process.pid)
            for _ in range(20):
                slow = stack.enter_context(connect(process.admin_port))
                slow.sendall(b"GET /app-metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            assert eventually(lambda: status(process.admin_port, "/app-metrics") == 503)
            assert status(process.admin_port, "/livez") == 200
            with Client(process.port) as client:
                assert client.request("GET", "/thing").status == 200
            assert resident_memory(process.process.pid) - before < LARGE // 4


def test_scrapes_at_once_are_complete(limited: Enforcer) -> None:
    """They take turns with each other and with requests."""
    with ThreadPoolExecutor(4) as pool, Client(limited.port) as client:
        scrapes = [pool.submit(metric, limited, "enforcer_ready") for _ in range(8)]
        assert client.request("GET", "/thing").status == 200
        assert [scrape.result(TIMEOUT) for scrape in scrapes] == [1.0] * 8
