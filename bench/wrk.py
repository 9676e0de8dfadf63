"""The load of small requests, made by wrk, and what it costs the server."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.processes import LOAD_CPU, BenchError, pinned
from bench.servers import AUTHORIZED, Running
from bench.usage import cpu_seconds, memory

CONNECTIONS = 64
UNSEEN = Path(__file__).with_name("unseen.lua")

_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a server did under a load: requests a second, CPU microseconds a request, latencies in microseconds."""

    rate: float
    cpu: float
    p50: float
    p99: float
    timeouts: int
    resident: int


def load(server: Running, seconds: int, *, script: Path | None = None, refused: bool = False) -> Traffic:
    """Send requests for so long on 64 connections: with one token, by a script, or `refused`, without a token.

    Raises BenchError where the answers are not those that the load is about.
    """
    command = ["wrk", "--latency", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    if script is not None:
        command += ["-s", str(script)]
    elif not refused:
        command += ["-H", f"Authorization: {AUTHORIZED['Authorization']}"]
    before = cpu_seconds(server.pids)
    ran = subprocess.run(
        pinned(LOAD_CPU, [*command, server.url]), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    used = cpu_seconds(server.pids) - before
    said = ran.stdout
    total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", said)
    if total is None or (requests := int(total[1])) == 0:
        raise BenchError(f"{server.server.name} answers nothing: {said or ran.stderr}")
    unsuccessful = _count(r"Non-2xx or 3xx responses: (\d+)", said)
    if unsuccessful != (requests if refused else 0):
        raise BenchError(f"{server.server.name} refused {unsuccessful} of {requests} requests")
    return Traffic(
        rate=requests / (float(total[2]) * _UNITS[total[3]] / 1e6),
        cpu=used / requests * 1e6,
        p50=_latency("50", said),
        p99=_latency("99", said),
        timeouts=_count(r"Socket errors: .*timeout (\d+)", said),
        resident=memory(server.pids).resident,
    )


def _count(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _latency(percentile: str, text: str) -> float:
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
    return float(found[1]) * _UNITS[found[2]] if found else float("nan")
