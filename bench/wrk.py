"""Loads a server with small requests, sent by wrk, and measures their cost."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.processes import LOAD_CPU, BenchError, pinned
from bench.servers import AUTHORIZED, RunningServer
from bench.usage import cpu_seconds, memory

CONNECTIONS = 64
UNSEEN = Path(__file__).with_name("unseen.lua")

_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


@dataclass(frozen=True, slots=True)
class TrafficSample:
    """One measurement: requests per second, CPU microseconds per request, latencies in microseconds."""

    rate: float
    cpu: float
    p50: float
    p99: float
    timeouts: int
    resident: int


def load(server: RunningServer, seconds: int, *, script: Path | None = None, refused: bool = False) -> TrafficSample:
    """Send requests on 64 connections: with the same token, from a wrk script, or without a token (`refused`).

    Raises BenchError if a response does not have the expected status.
    """
    command = ["wrk", "--latency", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    if script is not None:
        command += ["-s", str(script)]
    elif not refused:
        command += ["-H", f"Authorization: {AUTHORIZED['Authorization']}"]
    before = cpu_seconds(server.pids)
    ended = subprocess.run(
        pinned(LOAD_CPU, [*command, server.url]), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    used = cpu_seconds(server.pids) - before
    output = ended.stdout
    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", output)
    if total is None or (requests := int(total[1])) == 0:
        raise BenchError(f"{server.server.name} does not respond: {output or ended.stderr}")
    refusals = _count(r"Non-2xx or 3xx responses: (\d+)", output)
    if refusals != (requests if refused else 0):
        raise BenchError(f"{server.server.name} refused {refusals} of {requests} requests")
    return TrafficSample(
        rate=requests / (float(total[2]) * _UNITS[total[3]] / 1e6),
        cpu=used / requests * 1e6,
        p50=_latency("50", output),
        p99=_latency("99", output),
        timeouts=_count(r"Socket errors: .*timeout (\d+)", output),
        resident=memory(server.pids).resident,
    )


def _count(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0


def _latency(percentile: str, text: str) -> float:
    match = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
    return float(match[1]) * _UNITS[match[2]] if match else float("nan")
