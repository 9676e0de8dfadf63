"""A gigabyte through a proxy: how fast, and what memory it takes on the way."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.processes import BenchError
from bench.servers import AUTHORIZED, BACKEND, LARGE, LARGE_SIZE, SINK, Running, Server, enforcer
from bench.usage import cpu_seconds, forget_peak, memory

_PIECE = 1 << 20
_PATIENCE = 60.0  # seconds without a byte


@dataclass(frozen=True, slots=True)
class Flow:
    """What a large body took: bytes a second, CPU seconds, and bytes of memory beyond those in use before."""

    rate: float
    cpu: float
    growth: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A way to move a large body, and the enforcer that stands before its other end."""

    transfer: Callable[[http.client.HTTPConnection, int], int]
    enforcer: Server

    def run(self, server: Running) -> Flow:
        """Move a small body first, to have all code loaded, then the large one."""
        connection = http.client.HTTPConnection("127.0.0.1", server.server.port, timeout=_PATIENCE)
        self.transfer(connection, _PIECE)
        forget_peak(server.pids)
        before = memory(server.pids).resident
        cpu = cpu_seconds(server.pids)
        started = time.perf_counter()
        moved = self.transfer(connection, LARGE_SIZE)
        took = time.perf_counter() - started
        if moved != LARGE_SIZE:
            raise BenchError(f"{server.server.name} passed {moved} of {LARGE_SIZE} bytes")
        connection.close()
        return Flow(moved / took, cpu_seconds(server.pids) - cpu, memory(server.pids).peak - before)


def _download(connection: http.client.HTTPConnection, size: int) -> int:
    buffer = memoryview(bytearray(_PIECE))
    connection.request("GET", LARGE, headers={**AUTHORIZED, "Range": f"bytes=0-{size - 1}"})
    response = connection.getresponse()
    received = 0
    while count := response.readinto(buffer):
        received += count
    return received


def _upload(connection: http.client.HTTPConnection, size: int) -> int:
    piece = bytes(_PIECE)
    connection.putrequest("PUT", "/sink/file")
    for name, value in {**AUTHORIZED, "Content-Length": str(size)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    for _ in range(size // _PIECE):
        connection.send(piece)
    return int(connection.getresponse().read())


EXCHANGES = {"download": Exchange(_download, enforcer(app=BACKEND)), "upload": Exchange(_upload, enforcer(app=SINK))}
"""The ways by name."""
