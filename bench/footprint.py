"""Measures the idle enforcer: memory per open connection, memory and time after the start."""

from __future__ import annotations

import http.client
import resource

from bench.processes import BenchError
from bench.servers import AUTHORIZED, TARGET, RunningServer
from bench.usage import memory

CONNECTIONS = 5_000

_WARM_UP = 100  # connections opened before measuring, because the first ones also pay for lazy initialization
_SPARE = 200  # descriptors besides those of the connections


def raise_descriptor_limit() -> None:
    """Raise RLIMIT_NOFILE of this process and its children to cover all connections.

    Raises BenchError if the limit cannot be raised.
    """
    needed = CONNECTIONS + _WARM_UP + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
    except (ValueError, OSError):
        raise BenchError(f"{CONNECTIONS} connections need more file descriptors: ulimit -n {needed}") from None


def connections(server: RunningServer) -> dict[str, float]:
    """Open connections one after the other, send one request on each, and return the memory growth per connection."""
    open_connections = [_open(server) for _ in range(_WARM_UP)]
    before = memory(server.pids).resident
    open_connections += [_open(server) for _ in range(CONNECTIONS)]
    growth = memory(server.pids).resident - before
    for connection in open_connections:
        connection.close()
    return {"bytes_each": growth / CONNECTIONS}


def start(server: RunningServer) -> dict[str, float]:
    """Return the seconds until the server was ready, and its resident memory in bytes."""
    return {"ready_after": server.ready_after, "resident": memory(server.pids).resident}


def _open(server: RunningServer) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", server.server.port, timeout=10)
    connection.request("GET", TARGET, headers=AUTHORIZED)
    response = connection.getresponse()
    response.read()
    if response.status != http.client.OK or connection.sock is None:
        raise BenchError(f"{server.server.name} does not keep {CONNECTIONS} connections open")
    return connection
