"""What the enforcer takes while it does nothing."""

from __future__ import annotations

import http.client
import resource

from bench.processes import BenchError
from bench.servers import AUTHORIZED, TARGET, Running
from bench.usage import memory

CONNECTIONS = 5_000

_WARM_UP = 100  # connections whose cost is that of the first ones
_SPARE = 200  # descriptors besides those of the connections


def raise_descriptor_limit() -> None:
    """Let this process, and those that it starts, have as many descriptors as the connections need."""
    wanted = CONNECTIONS + _WARM_UP + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, OSError):
        raise BenchError(f"{CONNECTIONS} connections need more descriptors: ulimit -n {wanted}") from None


def connections(server: Running) -> dict[str, float]:
    """Open connections one after the other, each for one request, keep them, and see how memory grew."""
    held = [_used(server) for _ in range(_WARM_UP)]
    before = memory(server.pids).resident
    held += [_used(server) for _ in range(CONNECTIONS)]
    grown = memory(server.pids).resident - before
    for connection in held:
        connection.close()
    return {"bytes_each": grown / CONNECTIONS}


def start(server: Running) -> dict[str, float]:
    """Tell how long the server took until it was ready, and its memory since."""
    return {"ready_after": server.ready_after, "resident": memory(server.pids).resident}


def _used(server: Running) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", server.server.port, timeout=10)
    connection.request("GET", TARGET, headers=AUTHORIZED)
    response = connection.getresponse()
    response.read()
    if response.status != http.client.OK or connection.sock is None:
        raise BenchError(f"{server.server.name} does not keep {CONNECTIONS} connections")
    return connection
