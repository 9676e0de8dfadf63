"""Sends 1 GiB through a proxy; measures throughput, CPU time and memory growth."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.processes import BenchError
from bench.servers import AUTHORIZED, BACKEND, LARGE, LARGE_SIZE, SINK, RunningServer, Server, enforcer
from bench.usage import cpu_seconds, forget_peak, memory

_CHUNK = 1 << 20
_TIMEOUT = 60.0  # seconds without receiving a byte


@dataclass(frozen=True, slots=True)
class TransferSample:
    """The cost of one large body: bytes per second, CPU seconds, and growth of peak memory in bytes."""

    rate: float
    cpu: float
    growth: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """A direction in which a large body is sent, and the enforcer configured with the matching upstream."""

    transfer: Callable[[http.client.HTTPConnection, int], int]
    enforcer: Server

    def run(self, server: RunningServer) -> TransferSample:
        """Send a small body first, so that all code is loaded, then the large one, and return its cost.

        Raises BenchError if the server passes on another number of bytes.
        """
        connection = http.client.HTTPConnection("127.0.0.1", server.server.port, timeout=_TIMEOUT)
        self.transfer(connection, _CHUNK)
        forget_peak(server.pids)
        before = memory(server.pids).resident
        cpu = cpu_seconds(server.pids)
        started = time.perf_counter()
        moved = self.transfer(connection, LARGE_SIZE)
        took = time.perf_counter() - started
        if moved != LARGE_SIZE:
            raise BenchError(f"{server.server.name} passed {moved} of {LARGE_SIZE} bytes")
        connection.close()
        return TransferSample(moved / took, cpu_seconds(server.pids) - cpu, memory(server.pids).peak - before)


def _download(connection: http.client.HTTPConnection, size: int) -> int:
    buffer = memoryview(bytearray(_CHUNK))
    connection.request("GET", LARGE, headers={**AUTHORIZED, "Range": f"bytes=0-{size - 1}"})
    response = connection.getresponse()
    received = 0
    while count := response.readinto(buffer):
        received += count
    return received


def _upload(connection: http.client.HTTPConnection, size: int) -> int:
    chunk = bytes(_CHUNK)
    connection.putrequest("PUT", "/sink/file")
    for name, value in {**AUTHORIZED, "Content-Length": str(size)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    for _ in range(size // _CHUNK):
        connection.send(chunk)
    return int(connection.getresponse().read())


TRANSFERS = {"download": Transfer(_download, enforcer(app=BACKEND)), "upload": Transfer(_upload, enforcer(app=SINK))}
"""Both directions, by name."""
