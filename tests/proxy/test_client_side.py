"""How a client's connection ends when the server stops."""

from __future__ import annotations

from harness.clients import Client
from harness.configs import config
from harness.in_process import in_process_proxy
from harness.upstreams import upstream

REQUEST = b"GET /thing HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_request_that_has_arrived_and_was_not_read_yet_is_answered() -> None:
    """Its connection is idle only to who does not look; another one is closed, and one that sends no request later."""
    rules = [{"name": "all", "path": "/**", "public": True}]
    with upstream() as app:
        text = config(app.url, 1, rules=rules, timeouts={"head": "300ms"})
        with (
            in_process_proxy(text) as running,
            Client(running.port) as asks,
            Client(running.port) as idle,
            Client(running.port) as blank,
        ):
            clients = (asks, idle, blank)
            assert [client.request("GET", "/thing").status for client in clients] == [200] * 3

            def send() -> None:
                asks.socket.sendall(REQUEST)
                blank.socket.sendall(b"\r\n")

            running.shutdown(send)
            answer = asks.socket.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"Connection: close\r\n" in answer
            assert [client.closed() for client in clients] == [True] * 3
