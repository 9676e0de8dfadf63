"""The authorization server stops under load, and comes back."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from harness.processes import Enforcer, enforcer
from harness.servers import Server, echo_server, introspection_server, read_response

_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "3"))
_TTL = 0.5
_KNOWN = 50
_TOKENS = {f"known{number}": {"scope": "read", "sub": f"user{number}"} for number in range(_KNOWN)}

_CONFIG = """
listener: {{address: "127.0.0.1:0"}}
admin: {{address: "127.0.0.1:0"}}
upstream: {{url: "http://127.0.0.1:{app}"}}
authorization_servers:
  - introspection_endpoint: http://127.0.0.1:{server}/introspect
    client_id: enforcer
    client_secret: {{env: ENFORCER_CLIENT_SECRET}}
    breaker: {{pause: 200ms}}
limits: {{unseen_tokens: {{rate: 1000000, burst: 1000000}}}}
cache: {{ttl: 500ms, refresh_ahead: 0s, negative_ttl: 200ms}}
rules:
  - {{name: stale, path: /stale, scopes: [read], on_outage: stale}}
  - {{name: deny, path: /deny, scopes: [read]}}
"""


class Load:
    """Asks again and again for a path with each of some tokens, and keeps what came back and how long it took."""

    def __init__(self, proxy: Enforcer, path: str, tokens: list[str]) -> None:
        self.answers: list[tuple[float, int]] = []
        self.slowest = 0.0
        self._port = proxy.port
        self._path = path
        self._tokens = tokens
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), 20) as connection:
            while not self._stop.is_set():
                for token in self._tokens:
                    began = time.monotonic()
                    head = f"GET {self._path} HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {token}\r\n\r\n"
                    connection.sendall(head.encode())
                    answer = read_response(connection)
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self.answers.append((began, int(answer.split(b" ", 2)[1])))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def codes(self, since: float, until: float) -> Counter[int]:
        return Counter(code for began, code in self.answers if since <= began < until)


@contextmanager
def _bed() -> Iterator[tuple[Enforcer, Server]]:
    with (
        echo_server() as app,
        introspection_server(_TOKENS) as server,
        enforcer(_CONFIG.format(app=app.port, server=server.port)) as proxy,
    ):
        yield proxy, server


def test_an_outage_locks_out_nobody_who_may_go_on_and_lets_nobody_in() -> None:
    """Known tokens on a `stale` rule see no error; on a `deny` rule 503 once their answer ends; unknown ones 503 at
    once; and nobody with a good token is told 401."""
    with _bed() as (proxy, server):
        known = list(_TOKENS)
        loads = {
            "stale": Load(proxy, "/stale", known),
            "deny": Load(proxy, "/deny", known),
            "unknown": Load(proxy, "/stale", [f"unknown{number}" for number in range(50)]),
        }
        for load in loads.values():
            load.start()
        try:
            _until(lambda: all(len(load.answers) > 3 * _KNOWN for load in loads.values()))
            down = time.monotonic()
            server.close()
            _until(lambda: time.monotonic() > down + _SECONDS)
        finally:
            for load in loads.values():
                load.stop()
        # What was under way when the server stopped, and what was remembered then, has ended by now.
        settled, end = down + 2 * _TTL + 0.5, down + _SECONDS
        assert set(loads["stale"].codes(0, end)) == {200}
        assert set(loads["deny"].codes(0, down)) == {200}
        assert set(loads["deny"].codes(down, settled)) <= {200, 503}
        assert set(loads["deny"].codes(settled, end)) == {503}
        assert set(loads["unknown"].codes(0, down)) == {401}
        assert set(loads["unknown"].codes(settled, end)) == {503}
        assert max(load.slowest for load in loads.values()) < 2.5


def _until(condition: object) -> None:
    deadline = time.monotonic() + 60 + _SECONDS
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
