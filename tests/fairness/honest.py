"""Honest clients: each sends its next request when it has the response to the one before, and its time is measured."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import click
import uvloop
from harness.configs import TOKEN

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_PROBE_PAUSE = 0.02  # seconds between two probes


@dataclass(frozen=True)
class Times:
    """Percentiles of the requests and the longest /livez in milliseconds; requests a second; connections cut.

    `statuses` counts the responses by status.
    """

    p50: float
    p99: float
    livez: float
    rate: float
    cut: int
    statuses: Mapping[str, int]


class _Clients:
    """The request that all clients send, its times, and the number of clients that were cut."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.times: list[float] = []
        self.cut = 0
        self.statuses: Counter[str] = Counter()


class _Client(asyncio.Protocol):
    _transport: Any

    def __init__(self, clients: _Clients) -> None:
        self._clients = clients
        self._received = b""
        self._clock = time.perf_counter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent_at = self._clock()
        self._transport.write(self._clients.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and length is not None and len(body) == int(length[1]):
            self._received = b""
            self._clients.times.append(self._clock() - self._sent_at)
            self._clients.statuses[head[9:12].decode()] += 1
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._clients.cut += 1


async def _probe(port: int, times: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
        times.append(time.perf_counter() - begun)
        await asyncio.sleep(_PROBE_PAUSE)


async def _run(
    clients: _Clients, port: int, admin_port: int, seconds: float, connections: int, tls: ssl.SSLContext | None
) -> Times:
    loop = asyncio.get_running_loop()
    probes = [0.0]
    for _ in range(connections):
        await loop.create_connection(lambda: _Client(clients), "127.0.0.1", port, ssl=tls)
    probe = loop.create_task(_probe(admin_port, probes))
    begun, before = loop.time(), len(clients.times)
    await asyncio.sleep(seconds)
    probe.cancel()
    measured = sorted(clients.times[before:])
    rate = len(measured) / (loop.time() - begun)
    p50, p99 = ((measured or [seconds])[int(len(measured) * part)] * 1000 for part in (0.5, 0.99))
    return Times(p50, p99, max(probes) * 1000, rate, clients.cut, dict(clients.statuses))


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@click.command()
@click.argument("port", type=int)
@click.argument("admin_port", type=int)
@click.option("--seconds", type=float, required=True)
@click.option("--connections", type=int, default=8)
@click.option("--target", default="/ok")
@click.option("--tls", is_flag=True)
def main(port: int, admin_port: int, seconds: float, connections: int, target: str, tls: bool) -> None:
    """Measure, and print `Times` as JSON."""
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    secured = _context() if tls else None
    times = uvloop.run(_run(_Clients(request), port, admin_port, seconds, connections, secured))
    sys.stdout.write(json.dumps(asdict(times)))


if __name__ == "__main__":
    main()
