"""Graceful shutdown: not ready, still serving, then stopped, without a lost request."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from harness.clients import Client
from harness.configs import config
from harness.processes import COMMAND, SECRET, Enforcer, enforcer
from harness.upstreams import Incoming, PeerClosedError, Upstream, upstream
from harness.waiting import TIMEOUT, eventually

from enforcer.cli import drain, main

DELAY = 3.0
CLIENTS = 6


@contextmanager
def served(delay: str, launcher: Sequence[str] | None = None, **timeouts: str) -> Iterator[tuple[Enforcer, Upstream]]:
    """Run an enforcer with public rules only in front of an app."""
    rules = [{"name": "all", "path": "/**", "public": True}]
    with upstream() as app:
        text = config(app.url, 1, rules=rules, timeouts={"shutdown_delay": delay, **timeouts})
        with enforcer(text, launcher=launcher) as process:
            yield process, app


@contextmanager
def piped(*command: str, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program whose input and output are the test's, until the block ends."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: Enforcer) -> bool:
    """Return whether /readyz says that the enforcer is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{process.admin_port}/readyz", timeout=TIMEOUT):
            return True
    except urllib.error.HTTPError:
        return False


@dataclass(frozen=True)
class Exchange:
    """A request: when it was sent, its status, whether its connection was new, and whether it stayed open."""

    sent: float
    status: int
    new_connection: bool
    persistent: bool


def send_requests(port: int, enough: threading.Event, exchanges: list[Exchange]) -> None:
    """Send requests on connections that are used as long as they persist; failures are raised."""
    while not enough.is_set():
        with Client(port, token=None) as client:
            first = True
            while first or (client.reusable and not enough.is_set()):
                sent = time.monotonic()
                status = client.request("GET", "/thing").status
                exchanges.append(Exchange(sent, status, first, client.reusable))
                first = False


def test_no_request_is_lost_while_load_balancers_look_elsewhere() -> None:
    """Under load, on new and on open connections, requests get a response with Connection: close; slow ones finish."""
    enough, go_on = threading.Event(), threading.Event()

    def handler(incoming: Incoming) -> None:
        assert incoming.request.target != b"/slow" or go_on.wait(TIMEOUT)
        incoming.respond(b"body")

    with served(f"{DELAY}s") as (process, app), ThreadPoolExecutor(CLIENTS) as pool, Client(process.port) as slow:
        app.handler = handler
        exchanges: list[Exchange] = []
        clients = [pool.submit(send_requests, process.port, enough, exchanges) for _ in range(CLIENTS)]
        try:
            assert eventually(lambda: len(app.requests) > 100)
            slow.begin("GET", "/slow")
            slow.end()
            signalled = time.monotonic()
            process.process.send_signal(signal.SIGTERM)
            assert eventually(lambda: not ready(process))
            not_ready = time.monotonic()

            def late() -> list[Exchange]:
                return [exchange for exchange in exchanges if exchange.sent > not_ready]

            # Until half of the delay is over, and on a busy machine until there were enough new connections
            half = signalled + DELAY / 2
            assert eventually(lambda: time.monotonic() > half and _new_connections(late()) > 10)
        finally:
            enough.set()
        for client in clients:
            client.result(TIMEOUT)
        assert eventually(lambda: refuses(process.port))
        assert time.monotonic() >= signalled + DELAY
        go_on.set()
        assert slow.read_response().values("Connection") == [b"close"]
        assert process.process.wait(TIMEOUT) == 0
    assert {exchange.status for exchange in exchanges} == {200}
    assert _new_connections(late()) > 10
    assert not any(exchange.persistent for exchange in late())
    assert any(exchange.persistent for exchange in exchanges)


def _new_connections(exchanges: list[Exchange]) -> int:
    return sum(exchange.new_connection for exchange in exchanges)


def test_idle_connections_are_served_until_the_end_of_the_delay() -> None:
    """One more request gets a response with Connection: close; a connection without a request is closed silently."""
    with served(f"{DELAY}s") as (process, _), Client(process.port) as active, Client(process.port) as idle:
        assert [client.request("GET", "/thing").status for client in (active, idle)] == [200, 200]
        process.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not ready(process))
        response = active.request("GET", "/thing")
        assert (response.status, response.values("Connection")) == (200, [b"close"])
        assert active.closed()
        assert process.process.poll() is None
        assert idle.closed()
        assert process.process.wait(TIMEOUT) == 0


def test_a_response_that_began_before_does_not_end_its_connection() -> None:
    """Its head did not say so: the next response does."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        incoming.send_head(headers=[("Content-Length", "4")])
        assert go_on.wait(TIMEOUT)
        incoming.send(b"body")
        incoming.end()

    with served("1m") as (process, app), Client(process.port) as client:
        app.handler = handler
        client.begin("GET", "/thing")
        client.end()
        assert client.read_head().values("Connection") == []
        process.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not ready(process))
        go_on.set()
        assert b"".join(client.pieces()) == b"body"
        response = client.request("GET", "/thing")
        assert (response.body, response.values("Connection")) == (b"body", [b"close"])


def test_pipelined_requests_get_responses_before_the_connection_ends() -> None:
    """The last response has Connection: close."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        assert go_on.wait(TIMEOUT)
        incoming.respond(incoming.request.target)

    with served("1m") as (process, app), socket.create_connection(("127.0.0.1", process.port), TIMEOUT) as client:
        app.handler = handler
        client.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: app\r\n\r\n" % number for number in range(3)))
        assert eventually(lambda: len(app.requests) == 1)
        process.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not ready(process))
        go_on.set()
        with client.makefile("rb") as stream:
            responses = stream.read()
    assert responses.count(b"HTTP/1.1 200 ") == 3
    assert responses.count(b"Connection: close") == 1
    assert responses.endswith(b"/2")


def test_a_head_that_has_begun_is_waited_for() -> None:
    """Its sender could not know; the stop waits for it within `timeouts.head`."""
    served_shortly = served("0s", head="2s", linger="200ms")
    with served_shortly as (process, _), Client(process.port) as completing, Client(process.port) as stalled:
        for client in (completing, stalled):
            assert client.request("GET", "/thing").status == 200
            client.socket.sendall(b"GET /thing HTTP/1.1\r\n")
        process.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: refuses(process.port))
        completing.socket.sendall(b"Host: app\r\n\r\n")
        assert b"HTTP/1.1 200 " in completing.socket.recv(1000)
        assert b"HTTP/1.1 408 " in stalled.socket.recv(1000)
        assert process.process.wait(TIMEOUT) == 0


def test_a_drained_enforcer_stops_on_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a native sidecar: no new connections, while the admin server still responds; a second drain has no effect."""
    # `enforcer drain` looks for this command line, which a forked process does not have.
    with served("2s", COMMAND) as (process, _), Client(process.port) as client:
        assert client.request("GET", "/thing").status == 200
        # Stands for /proc of this container, because other tests run enforcers, too.
        (tmp_path / str(process.process.pid)).symlink_to(f"/proc/{process.process.pid}")
        monkeypatch.setattr(drain, "PROCESSES", tmp_path)
        for _ in range(2):
            assert CliRunner().invoke(main, ["drain", "--all"]).exit_code == 0
            assert eventually(lambda: not ready(process))
        assert client.request("GET", "/thing").values("Connection") == [b"close"]
        assert eventually(lambda: refuses(process.port))
        assert not ready(process)
        assert process.process.poll() is None
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(TIMEOUT) == 0


def test_a_drain_while_it_starts_fails_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the enforcer handles the signal; a launcher with the same arguments is ignored."""
    monkeypatch.setattr(drain, "PROCESSES", tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(config("http://127.0.0.1:1", 1, rules=[{"name": "all", "path": "/**", "public": True}]))
    # A Python process that has begun to start, and continues only when it gets a line.
    start = "import sys; print(flush=True); input(); from enforcer.cli import main; main(sys.argv[2:])"
    command = [sys.executable, "-c", start, "enforcer", "run", str(path)]
    environment = {**os.environ, "ENFORCER_CLIENT_SECRET": SECRET}
    with (
        piped("sh", "-c", "echo; read line", "enforcer", "run") as launcher,
        piped(*command, environment=environment) as process,
    ):
        for started in (launcher, process):
            assert started.stdout is not None
            assert started.stdout.readline() == b"\n"
            (tmp_path / str(started.pid)).symlink_to(f"/proc/{started.pid}")
        early = CliRunner().invoke(main, ["drain", "--all"])
        assert (early.exit_code, str(process.pid) in early.stderr) == (1, True)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert eventually(lambda: CliRunner().invoke(main, ["drain", "--all"]).exit_code == 0, TIMEOUT)
        assert (launcher.poll(), process.poll()) == (None, None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0


def test_a_stop_after_a_drain_finishes_running_requests() -> None:
    """SIGTERM after a drain starts the graceful stop, and does not cut it short."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        assert go_on.wait(TIMEOUT)
        incoming.respond(b"body")

    with served("0s") as (process, app), Client(process.port) as client:
        app.handler = handler
        client.begin("GET", "/slow")
        client.end()
        assert eventually(lambda: len(app.requests) == 1)
        process.process.send_signal(signal.SIGUSR1)
        assert eventually(lambda: refuses(process.port))
        process.process.send_signal(signal.SIGTERM)
        assert not ready(process)
        go_on.set()
        assert client.read_response().body == b"body"
        assert process.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)])
def test_a_second_signal_or_ctrl_c_skips_the_delay(signals: tuple[signal.Signals, ...]) -> None:
    """A second signal ends the delay and all requests; Ctrl-C has no delay."""
    with served("1m") as (process, _), Client(process.port) as client:
        assert client.request("GET", "/thing").status == 200
        for number in signals:
            process.process.send_signal(number)
            assert eventually(lambda: process.process.poll() is not None or not ready(process))
        assert process.process.wait(TIMEOUT) == 0
        with suppress(PeerClosedError, ConnectionError):
            assert client.closed()


def refuses(port: int) -> bool:
    """Return whether a new connection is refused."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0
