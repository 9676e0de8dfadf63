"""Loads a server with small requests, sent by wrk, and measures their cost."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.processes import LOAD_CPU, BenchError, pinned
from bench.servers import AUTHORIZED, RunningServer
from bench.usage import cpu_seconds, memory

CONNECTIONS = 64
UNSEEN = Path(__file__).with_name("unseen.lua")

_TIMEOUT = 10  # seconds; wrk leaves responses that take longer out of its percentiles (wrk's default: 2)
_TIMES = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9}
_COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True, slots=True)
class TrafficSample:
    """One measurement: requests per second, CPU microseconds per request, latencies in microseconds."""

    rate: float
    cpu: float
    p50: float
    p99: float
    timeouts: int
    resident: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures that wrk printed: numbers of requests, refusals, timeouts and failed connections; times in µs."""

    requests: int
    duration: float
    p50: float
    p99: float
    refusals: int
    timeouts: int
    failures: int


def load(server: RunningServer, seconds: int, *, script: Path | None = None, refused: bool = False) -> TrafficSample:
    """Send requests on open connections: with the same token, from a wrk script, or without a token (`refused`).

    Raises BenchError if a response does not have the expected status, or a connection fails.
    """
    command = ["wrk", "--latency", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"--timeout={_TIMEOUT}s"]
    if script is not None:
        command += ["-s", str(script)]
    elif not refused:
        command += ["-H", f"Authorization: {AUTHORIZED['Authorization']}"]
    for name, value in server.server.fields.items():
        command += ["-H", f"{name}: {value}"]
    before = cpu_seconds(server.pids)
    ended = subprocess.run(
        pinned(LOAD_CPU, [*command, server.url]), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    used = cpu_seconds(server.pids) - before
    summary = read(ended.stdout) if " requests in " in ended.stdout else None
    if summary is None or summary.requests == 0:
        raise BenchError(f"{server.server.name} does not respond: {ended.stdout or ended.stderr}")
    if summary.refusals != (summary.requests if refused else 0):
        raise BenchError(f"{server.server.name} refused {summary.refusals} of {summary.requests} requests")
    if summary.failures:
        raise BenchError(f"{server.server.name} failed {summary.failures} times to connect, read or write")
    return TrafficSample(
        rate=summary.requests / (summary.duration / 1e6),
        cpu=used / summary.requests * 1e6,
        p50=summary.p50,
        p99=summary.p99,
        timeouts=summary.timeouts,
        resident=memory(server.pids).resident,
    )


def read(output: str) -> Summary:
    """Read the output of `wrk --latency`; raises BenchError, with the output, if a figure is missing or unreadable."""
    try:
        return Summary(
            requests=count(_figure(r"^ *(.*) requests in ", output)),
            duration=microseconds(_figure(r" requests in (.*?),", output)),
            p50=microseconds(_figure(r"^ *50%(.*)$", output)),
            p99=microseconds(_figure(r"^ *99%(.*)$", output)),
            # wrk prints these two lines only if there is something to count.
            refusals=count(_figure(r"Non-2xx or 3xx responses:(.*)$", output, default="0")),
            timeouts=count(_figure(r"Socket errors:.* timeout(.*)$", output, default="0")),
            failures=sum(
                count(_figure(rf"Socket errors:.* {kind}(.*?),", output, default="0"))
                for kind in ("connect", "read", "write")
            ),
        )
    except BenchError as error:
        raise BenchError(f"{error} in the output of wrk:\n{output}") from None


def microseconds(text: str) -> float:
    """Return a time as wrk prints it (`1.13s `) in microseconds; raises BenchError if it is not one."""
    return _quantity(text, _TIMES)


def count(text: str) -> int:
    """Return a count as wrk prints it (`845`, `12.50k `); raises BenchError if it is not one."""
    return round(_quantity(text, _COUNTS))


def _quantity(text: str, units: Mapping[str, float]) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)([a-zA-Z]*)\s*", text, re.ASCII)
    if match is None or match[2] not in units:
        raise BenchError(f"cannot read {text!r}")
    return float(match[1]) * units[match[2]]


def _figure(pattern: str, output: str, default: str | None = None) -> str:
    match = re.search(pattern, output, re.MULTILINE)
    if match is None and default is None:
        raise BenchError(f"cannot find {pattern!r}")
    return default or "" if match is None else match[1]
