"""How the enforcer leaves without anybody noticing: ready no more, still serving, then gone."""

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
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from harness.clients import Client
from harness.configs import config
from harness.processes import SECRET, Enforcer, enforcer
from harness.upstreams import Incoming, PeerClosedError, Upstream, upstream
from harness.waiting import eventually

from enforcer.cli import drain, main

PATIENCE = 10.0
DELAY = 2.5
WALKERS = 6


@contextmanager
def served(delay: str, **timeouts: str) -> Iterator[tuple[Enforcer, Upstream]]:
    """An enforcer in front of an app that everybody may ask; nobody is asked about tokens."""
    rules = [{"name": "all", "path": "/**", "public": True}]
    with upstream() as app:
        text = config(app.url, 1, rules=rules, timeouts={"shutdown_delay": delay, **timeouts})
        with enforcer(text) as process:
            yield process, app


@contextmanager
def piped(*command: str, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, whose input and output are the test's, until the block ends."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: Enforcer) -> bool:
    """Ask as a load balancer does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{process.admin_port}/readyz", timeout=PATIENCE):
            return True
    except urllib.error.HTTPError:
        return False


@dataclass(frozen=True)
class Walk:
    """One request of many: when it was sent, its status, whether its connection was new, and whether it is kept."""

    sent: float
    status: int
    first: bool
    kept: bool


def walk(port: int, enough: threading.Event) -> list[Walk]:
    """Ask again and again, on a connection as long as it is kept; any failure is raised."""
    walks = []
    while not enough.is_set():
        with Client(port, token=None) as client:
            first = True
            while first or (client.reusable and not enough.is_set()):
                sent = time.monotonic()
                status = client.request("GET", "/thing").status
                walks.append(Walk(sent, status, first, client.reusable))
                first = False
    return walks


def test_no_request_is_lost_while_load_balancers_look_elsewhere() -> None:
    """Under load, old connections and new ones: all are answered, and told to go; the slow ones are waited for."""
    enough, go_on = threading.Event(), threading.Event()

    def handler(incoming: Incoming) -> None:
        assert incoming.request.target != b"/slow" or go_on.wait(PATIENCE)
        incoming.respond(b"body")

    with served(f"{DELAY}s") as (process, app), ThreadPoolExecutor(WALKERS) as pool, Client(process.port) as slow:
        app.handler = handler
        walkers = [pool.submit(walk, process.port, enough) for _ in range(WALKERS)]
        try:
            assert eventually(lambda: len(app.requests) > 100)
            slow.begin("GET", "/slow")
            slow.end()
            asked = time.monotonic()
            process.process.send_signal(signal.SIGTERM)
            assert eventually(lambda: not ready(process))
            turned = time.monotonic()
            assert eventually(lambda: time.monotonic() > asked + DELAY / 2)
        finally:
            enough.set()
        walks = [one for walker in walkers for one in walker.result(PATIENCE)]
        assert eventually(lambda: refuses(process.port))
        assert time.monotonic() >= asked + DELAY
        go_on.set()
        assert slow.read_response().values("Connection") == [b"close"]
        assert process.process.wait(PATIENCE) == 0
    assert {one.status for one in walks} == {200}
    late = [one for one in walks if one.sent > turned]
    assert sum(one.first for one in late) > 10
    assert not any(one.kept for one in late)
    assert any(one.kept for one in walks)


def test_idle_connections_are_served_until_the_end_of_the_delay() -> None:
    """One more request, whose answer says that it was the last; who asks nothing is closed without a word."""
    with served(f"{DELAY}s") as (process, _), Client(process.port) as asking, Client(process.port) as silent:
        assert [client.request("GET", "/thing").status for client in (asking, silent)] == [200, 200]
        process.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not ready(process))
        answer = asking.request("GET", "/thing")
        assert (answer.status, answer.values("Connection")) == (200, [b"close"])
        assert asking.closed()
        assert process.process.poll() is None
        assert silent.closed()
        assert process.process.wait(PATIENCE) == 0


def test_an_answer_that_began_before_does_not_end_its_connection_by_surprise() -> None:
    """Its head did not say so: the next one does."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        incoming.send_head(headers=[("Content-Length", "4")])
        assert go_on.wait(PATIENCE)
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
        answer = client.request("GET", "/thing")
        assert (answer.body, answer.values("Connection")) == (b"body", [b"close"])


def test_pipelined_requests_are_answered_before_the_connection_ends() -> None:
    """The last one's answer says that it ends."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        assert go_on.wait(PATIENCE)
        incoming.respond(incoming.request.target)

    with served("1m") as (process, app), socket.create_connection(("127.0.0.1", process.port), PATIENCE) as client:
        app.handler = handler
        client.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: app\r\n\r\n" % number for number in range(3)))
        assert eventually(lambda: len(app.requests) == 1)
        process.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not ready(process))
        go_on.set()
        with client.makefile("rb") as stream:
            answers = stream.read()
    assert answers.count(b"HTTP/1.1 200 ") == 3
    assert answers.count(b"Connection: close") == 1
    assert answers.endswith(b"/2")


def test_a_head_that_has_begun_is_waited_for() -> None:
    """Its sender could not know; the stop waits for it no longer than for any head."""
    served_shortly = served("0s", head="500ms", linger="200ms")
    with served_shortly as (process, _), Client(process.port) as half, Client(process.port) as never:
        for client in (half, never):
            assert client.request("GET", "/thing").status == 200
            client.socket.sendall(b"GET /thing HTTP/1.1\r\n")
        process.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: refuses(process.port))
        half.socket.sendall(b"Host: app\r\n\r\n")
        assert b"HTTP/1.1 200 " in half.socket.recv(1000)
        assert b"HTTP/1.1 408 " in never.socket.recv(1000)
        assert process.process.wait(PATIENCE) == 0


def test_who_is_told_to_drain_leaves_when_told_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a native sidecar: nothing new is taken, and the admin side answers until the app has ended; twice is once."""
    with served("500ms") as (process, _), Client(process.port) as client:
        assert client.request("GET", "/thing").status == 200
        # The processes of this container, as it were: other tests have enforcers, too.
        (tmp_path / str(process.process.pid)).symlink_to(f"/proc/{process.process.pid}")
        monkeypatch.setattr(drain, "PROCESSES", tmp_path)
        for _ in range(2):
            assert CliRunner().invoke(main, ["drain"]).exit_code == 0
            assert eventually(lambda: not ready(process))
        assert client.request("GET", "/thing").values("Connection") == [b"close"]
        assert eventually(lambda: refuses(process.port))
        assert not ready(process)
        assert process.process.poll() is None
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(PATIENCE) == 0


def test_a_drain_while_it_starts_fails_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there is somebody to hear it; who launched it, and stays, is not told, and does not matter."""
    monkeypatch.setattr(drain, "PROCESSES", tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(config("http://127.0.0.1:1", 1, rules=[{"name": "all", "path": "/**", "public": True}]))
    # Python itself that has begun, and goes no further than it is let.
    starts = "import sys; print(flush=True); input(); from enforcer.cli import main; main(sys.argv[2:])"
    command = [sys.executable, "-c", starts, "enforcer", "run", str(path)]
    environment = {**os.environ, "ENFORCER_CLIENT_SECRET": SECRET}
    with (
        piped("sh", "-c", "echo; read line", "enforcer", "run") as launcher,
        piped(*command, environment=environment) as process,
    ):
        for started in (launcher, process):
            assert started.stdout is not None
            assert started.stdout.readline() == b"\n"
            (tmp_path / str(started.pid)).symlink_to(f"/proc/{started.pid}")
        early = CliRunner().invoke(main, ["drain"])
        assert (early.exit_code, str(process.pid) in early.stderr) == (1, True)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert eventually(lambda: CliRunner().invoke(main, ["drain"]).exit_code == 0)
        assert (launcher.poll(), process.poll()) == (None, None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_the_end_waits_for_what_runs_also_after_a_drain() -> None:
    """SIGTERM then is the first word of the end, and not one of hurry."""
    go_on = threading.Event()

    def handler(incoming: Incoming) -> None:
        assert go_on.wait(PATIENCE)
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
        assert process.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)])
def test_who_is_in_a_hurry_waits_for_no_load_balancer(signals: tuple[signal.Signals, ...]) -> None:
    """A second signal ends the delay and all that runs; Ctrl-C begins none."""
    with served("1m") as (process, _), Client(process.port) as client:
        assert client.request("GET", "/thing").status == 200
        for number in signals:
            process.process.send_signal(number)
            assert eventually(lambda: process.process.poll() is not None or not ready(process))
        assert process.process.wait(PATIENCE) == 0
        with suppress(PeerClosedError, ConnectionError):
            assert client.closed()


def refuses(port: int) -> bool:
    """Tell whether a new connection is refused."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0
