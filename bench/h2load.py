"""Loads a server with gRPC calls or with small requests on many connections, sent by h2load.

gRPC calls are sent as Envoy and gRPC clients do: on few connections, many at once. The load of many connections of
HTTP/1.1 is sent by h2load and not by wrk, because h2load can leave out the time in which they open.
"""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from statistics import quantiles

from bench.processes import LOAD_CPU, BenchError, pinned
from bench.servers import AUTHORIZED, CALL, TARGET, RunningServer, Workspace
from bench.usage import cpu_seconds, memory
from bench.wrk import CONNECTIONS, TrafficSample

MANY_CONNECTIONS = 1_000

_CHECK = "/envoy.service.auth.v3.Authorization/Check"
_MESSAGE = b"\0\0\0\0\x1b" + b"x" * 27  # as long as the response of the app
_CONNECTIONS = 4
_CALLS = CONNECTIONS // _CONNECTIONS  # at once on each connection: as many in all as the load over HTTP has
_COUNTER = "enforcer_decision_api_requests_total"


def check_request(headers: Mapping[str, str]) -> bytes:
    """Return the body of a call that asks about a GET of TARGET: the length prefix of gRPC, and a CheckRequest.

    The numbers are those of envoy/service/auth/v3/attribute_context.proto.
    """
    http = _text(2, "GET")
    for name, value in {"host": "127.0.0.1", **headers}.items():
        http += _message(3, _text(1, name.lower()) + _text(2, value))
    http += _text(4, TARGET) + _text(5, "127.0.0.1") + _text(6, "http") + _text(10, "HTTP/1.1")
    source = _message(1, _message(1, _text(2, "192.0.2.1")))
    request = _message(1, _message(1, source) + _message(4, _message(2, http)))
    return b"\0" + len(request).to_bytes(4, "big") + request


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode())


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decide(workspace: Workspace, server: RunningServer, seconds: int) -> TrafficSample:
    """Send calls about an allowed request to the decision API.

    Raises BenchError if a call fails or a decision is not to allow; the decisions are read from the
    enforcer's own counter, because h2load does not read messages.
    """
    before = decisions(_metrics(server))
    sample = _call(workspace, server, seconds, _CHECK, check_request(AUTHORIZED), {}, 0)
    after = decisions(_metrics(server))
    if others := {name: number for name, number in after.items() if name != "allow" and number != before.get(name, 0)}:
        raise BenchError(f"{server.server.name} did not allow all calls: {others}")
    return sample


def call(workspace: Workspace, server: RunningServer, seconds: int) -> TrafficSample:
    """Send unary calls to the app through a proxy, with the token.

    Raises BenchError if a call fails. A refusal has the status 200 too, but no message.
    """
    return _call(workspace, server, seconds, CALL, _MESSAGE, AUTHORIZED, len(_MESSAGE))


def many(workspace: Workspace, server: RunningServer, seconds: int, *, warm_up: int = 0) -> TrafficSample:
    """Send requests of HTTP/1.1 with the token on MANY_CONNECTIONS, which open in the `warm_up` seconds before.

    Raises BenchError if a response is not a success.
    """
    options = ["--h1", f"-c{MANY_CONNECTIONS}", "-H", f"authorization: {AUTHORIZED['Authorization']}"]
    return _run(workspace, server, seconds, options, server.url, warm_up=warm_up)[0]


def _call(
    workspace: Workspace,
    server: RunningServer,
    seconds: int,
    method: str,
    message: bytes,
    fields: Mapping[str, str],
    response: int,
) -> TrafficSample:
    """Send unary calls of a gRPC method; each must be answered with at least `response` bytes of data."""
    body = workspace.folder / "message"
    body.write_bytes(message)
    options = [f"-c{_CONNECTIONS}", f"-m{_CALLS}", "-d", str(body)]
    for name, value in {"content-type": "application/grpc", "te": "trailers", **fields}.items():
        options += ["-H", f"{name.lower()}: {value}"]
    url = f"http://127.0.0.1:{server.server.port}{method}"
    sample, calls, output = _run(workspace, server, seconds, options, url)
    if data_bytes(output) < response * calls:
        raise BenchError(f"{server.server.name} did not forward all calls: {output}")
    return sample


def _run(
    workspace: Workspace, server: RunningServer, seconds: int, options: Sequence[str], url: str, *, warm_up: int = 0
) -> tuple[TrafficSample, int, str]:
    """Run h2load; return the sample, the number of requests in it, and the output.

    The sample is of the seconds after the warm-up.
    """
    log = workspace.folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = pinned(
        LOAD_CPU, ["h2load", "-t1", f"-D{seconds}", f"--warm-up-time={warm_up}", f"--log-file={log}", *options, url]
    )
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=nothing, stdout=pipe, stderr=pipe, text=True) as process:
        time.sleep(warm_up)
        before = cpu_seconds(server.pids)
        output, errors = process.communicate()
    used = cpu_seconds(server.pids) - before
    times = read(log.read_text() if log.is_file() else "")
    if len(times) < 2:
        raise BenchError(f"{server.server.name} does not respond: {output or errors}")
    percentiles = quantiles(times, n=100)
    sample = TrafficSample(
        rate=len(times) / seconds,
        cpu=used / len(times) * 1e6,
        p50=percentiles[49],
        p99=percentiles[98],
        timeouts=0,
        resident=memory(server.pids).resident,
    )
    return sample, len(times), output


def read(log: str) -> list[float]:
    """Return the microseconds that each request took, from h2load's log; raises BenchError if one failed."""
    times: list[float] = []
    for line in log.splitlines():
        _, status, microseconds = line.split("\t")
        if status != "200":
            raise BenchError(f"a request failed with the status {status}")
        times.append(float(microseconds))
    return times


def data_bytes(output: str) -> int:
    """Return the bytes of all DATA frames, from h2load's output; raises BenchError if the figure is missing."""
    match = re.search(r"^traffic: .*\((\d+)\) data$", output, re.MULTILINE)
    if match is None:
        raise BenchError(f"h2load printed no traffic: {output}")
    return int(match[1])


def decisions(metrics: str) -> dict[str, float]:
    """Return the numbers of decisions over gRPC by result, from the text of the metrics."""
    results: dict[str, float] = {}
    for line in metrics.splitlines():
        if line.startswith(f"{_COUNTER}{{") and 'door="envoy-grpc"' in line:
            results[line.partition('result="')[2].partition('"')[0]] = float(line.rpartition(" ")[2])
    return results


def _metrics(server: RunningServer) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server.ready_port}/metrics", timeout=10) as response:
        return str(response.read(), "utf-8")
