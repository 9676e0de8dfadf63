"""The authorization server stops under load."""

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
from harness.waiting import TIMEOUT, eventually, let_pass

_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "3"))
_TTL = 0.5
_COUNT = 50
_TOKENS = {f"known{number}": {"scope": "read", "sub": f"user{number}"} for number in range(_COUNT)}

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
    """Sends requests for a path with each of some tokens in turn; records times and statuses."""

    def __init__(self, proxy: Enforcer, path: str, tokens: list[str]) -> None:
        self.responses: list[tuple[float, float, int]] = []
        self._port = proxy.port
        self._path = path
        self._tokens = tokens
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), TIMEOUT) as connection:
            while not self._stop.is_set():
                for token in self._tokens:
                    sent = time.monotonic()
                    head = f"GET {self._path} HTTP/1.1\r\nHost: app\r\nAuthorization: Bearer {token}\r\n\r\n"
                    connection.sendall(head.encode())
                    received = read_response(connection)
                    self.responses.append((sent, time.monotonic(), int(received.split(b" ", 2)[1])))

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sending, and wait for the last response."""
        self._stop.set()
        self._thread.join()

    def statuses(self, since: float, until: float) -> Counter[int]:
        """Count the statuses of the requests that were sent and responded to within an interval."""
        return Counter(status for sent, received, status in self.responses if since <= sent and received < until)


@contextmanager
def _stack() -> Iterator[tuple[Enforcer, Server]]:
    with (
        echo_server() as app,
        introspection_server(_TOKENS) as server,
        enforcer(_CONFIG.format(app=app.port, server=server.port)) as proxy,
    ):
        yield proxy, server


def test_during_an_outage_stale_rules_serve_cached_tokens_and_other_requests_get_503() -> None:
    """Cached tokens on a `stale` rule get no error; on a `deny` rule 503 after expiry; unknown ones 503 at once.

    No active token gets 401.
    """
    with _stack() as (proxy, server):
        tokens = list(_TOKENS)
        loads = {
            "stale": Load(proxy, "/stale", tokens),
            "deny": Load(proxy, "/deny", tokens),
            "unknown": Load(proxy, "/stale", [f"unknown{number}" for number in range(50)]),
        }
        for load in loads.values():
            load.start()
        try:
            assert eventually(lambda: all(len(load.responses) > 3 * _COUNT for load in loads.values()), 60)
            down = time.monotonic()
            server.close()
            let_pass(_SECONDS)
        finally:
            for load in loads.values():
                load.stop()
        # By `settled`, requests from before the stop are finished, and cache entries from before are expired.
        settled, end = down + 2 * _TTL + 0.5, down + _SECONDS
        assert set(loads["stale"].statuses(0, end)) == {200}
        assert set(loads["deny"].statuses(0, down)) == {200}
        assert set(loads["deny"].statuses(down, settled)) <= {200, 503}
        assert set(loads["deny"].statuses(settled, end)) == {503}
        assert set(loads["unknown"].statuses(0, down)) == {401}
        assert set(loads["unknown"].statuses(settled, end)) == {503}
        slowest = max(received - sent for load in loads.values() for sent, received, _ in load.responses)
        assert slowest < 10
