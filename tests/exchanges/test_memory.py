"""Connections of every kind at once, as large as clients can make them: memory stays below the limits."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from harness.clients import Client
from harness.configs import TOKEN, TOKENS, config
from harness.processes import Enforcer, enforcer
from harness.servers import introspection_server
from harness.usage import metric, peak_memory, resident_memory
from harness.waiting import eventually

FLOOD = "127.0.0.2"
MEBIBYTE = 1024 * 1024
MEMORY, HELD = 12 * MEBIBYTE, 4 * MEBIBYTE
LIMITS = {"connection_memory": f"{MEMORY}B", "held_input": f"{HELD}B"}
FIELDS = b"".join(b"X-%03d: %s\r\n" % (number, b"x" * 320) for number in range(95))
"""As much as a head may have."""
HELD_UP = b"GET /public/deaf HTTP/1.1\r\nHost: a\r\n" + FIELDS + b"\r\n"
UPLOAD = b"POST /public/deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"
KINDS = {
    "a head that never ends": b"GET / HTTP/1.1\r\nHost: a\r\n" + FIELDS,
    "a request that gets no response": HELD_UP,
    "pipelined requests that get no response": HELD_UP * 8,
    "an upload that the app does not read": UPLOAD + b"x" * MEBIBYTE,
    "a response that the client does not read": b"GET /public/pieces HTTP/1.1\r\nHost: a\r\n\r\n",
}


@contextmanager
def app() -> Iterator[int]:
    """Run the app of the fairness tests, which responds without end; yield its port."""
    command = [sys.executable, "-m", "fairness.app"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def running() -> Iterator[Enforcer]:
    """An enforcer in front of two apps: one responds without end, the other one never reads."""
    with (
        app() as port,
        introspection_server(TOKENS) as server,
        socket.create_server(("127.0.0.1", 0), backlog=512) as deaf,
    ):
        rules = [
            {"name": "ok", "path": "/ok", "scopes": ["read"]},
            {"name": "pieces", "path": "/public/pieces", "public": True, "upstream": "endless"},
            {"name": "deaf", "path": "/public/deaf", "public": True, "upstream": "deaf"},
        ]
        urls = {"endless": f"http://127.0.0.1:{port}", "deaf": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        text = config(
            f"http://127.0.0.1:{port}",
            server.port,
            limits=LIMITS,
            rules=rules,
            # Clients that have left are not noticed while their input waits.
            upstreams={name: {"url": url, "pool": {"response_timeout": "1s"}} for name, url in urls.items()},
            timeouts={"shutdown_delay": "0s", "body": "1s", "head": "1s"},
        )
        with enforcer(text) as process:
            yield process


def hold(port: int, data: bytes) -> socket.socket:
    """Open a connection that sends as much as is taken, and reads nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.bind((FLOOD, 0))
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    connection.setblocking(False)
    with suppress(BlockingIOError):
        connection.send(data)
    return connection


def cut(running: Enforcer) -> float:
    """Return the number of connections that were cut or closed for one of the limits."""
    names = ("connection_memory", "held_input")
    return sum(metric(running, f"enforcer_{name}_exceeded_total") for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_what_one_client_holds_is_bounded_and_others_are_served(running: Enforcer, kind: str) -> None:
    """Its connections over the share are cut; the process stays below the sum of both limits."""
    with Client(running.port, token=TOKEN) as client:
        assert client.request("GET", "/ok").status == 200
        before = resident_memory(running.process.pid)
        before_cut = cut(running)
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(hold(running.port, KINDS[kind]))
            assert eventually(lambda: cut(running) > before_cut)
            assert metric(running, "enforcer_connection_memory_bytes") <= MEMORY
            assert metric(running, "enforcer_held_input_bytes") <= HELD
            assert client.request("GET", "/ok").status == 200
            with Client(running.port, token=TOKEN) as other:
                assert other.request("GET", "/ok").status == 200
        assert peak_memory(running.process.pid) - before < 1.25 * (MEMORY + HELD) + 4 * MEBIBYTE
    assert eventually(lambda: metric(running, "enforcer_connections") == 0)
