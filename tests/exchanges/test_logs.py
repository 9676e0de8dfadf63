"""The effect of requests on the log, and of the reader of the log on requests."""

from __future__ import annotations

import socket
import urllib.request

import pytest
from harness.clients import Client
from harness.configs import TOKEN, config
from harness.http2 import Http2Client
from harness.processes import enforcer
from harness.servers import Server
from harness.upstreams import Upstream, upstream
from harness.usage import metric
from harness.waiting import TIMEOUT, eventually


def test_failed_requests_are_one_line_and_so_is_the_recovery(authorization_server: Server) -> None:
    """More failures of the same kind are counted, and reported once a minute."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # nothing listens yet
        port = holder.getsockname()[1]
        with enforcer(config(f"http://127.0.0.1:{port}", authorization_server.port)) as process:
            with Client(process.port) as client:
                assert {client.request("GET", "/thing").status for _ in range(50)} == {502}
                holder.listen()
                with upstream(listener=holder):
                    assert eventually(lambda: client.request("GET", "/thing").status == 200)
                    assert {client.request("GET", "/thing").status for _ in range(5)} == {200}
            assert process.stop() == 0
            log = process.log()
    assert log.count("WARNING enforcer.proxy: upstream") == 1
    assert log.count("responds again") == 1


@pytest.mark.parametrize("target", ["/thing", "/nothing"])
def test_a_log_that_nobody_reads_stops_neither_requests_nor_health_checks(
    app: Upstream, authorization_server: Server, target: str
) -> None:
    """Decisions that do not fit are dropped and counted, and the process does not wait for a reader when it ends."""
    log = {"decisions": "all", "level": "debug", "buffer": "1KiB", "backlog": 10}
    with enforcer(config("http://127.0.0.1:1", authorization_server.port, log=log)) as process:
        with Client(process.port) as client:
            query = "a" * 4000
            for _ in range(100):
                assert client.request("GET", f"{target}/{query}").status in (502, 403)
        with urllib.request.urlopen(f"http://127.0.0.1:{process.admin_port}/livez", timeout=TIMEOUT) as response:
            assert response.read() == b"ok\n"
        assert metric(process, "enforcer_decisions_left_out_total") > 0
        assert process.stop() == 0


def test_no_level_logs_a_token_of_http2(authorization_server: Server) -> None:
    """The library that decompresses fields logs each of them at level debug."""
    client, token = Http2Client(), ("authorization", f"Bearer {TOKEN}")
    with enforcer(config("http://127.0.0.1:1", authorization_server.port, log={"level": "debug"})) as process:
        with socket.create_connection(("127.0.0.1", process.port), TIMEOUT) as connection:
            number = client.request("GET", "/thing", token, ("x-key", "s3cret"))
            while number not in client.statuses:
                connection.sendall(client.take())
                client.receive(connection.recv(65_536))
        assert client.statuses == {number: 502}
        assert process.stop() == 0
        log = process.log()
    assert "DEBUG" in log
    assert TOKEN not in log
    assert "s3cret" not in log
