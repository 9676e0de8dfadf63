"""Runs the soak test and prints its results; the exit code is 1 if anything was wrong."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import click
import grpc
from fairness.bed import flooded, honest
from harness.certificates import Authority
from harness.configs import authorization_server, config
from harness.grpc_app import grpc_app
from harness.processes import COMMAND, Enforcer, enforcer
from harness.usage import metric, open_descriptors, resident_memory
from harness.waiting import settled

from soak.children import Outages, running
from soak.reloads import Reloads
from soak.strangers import strangers
from soak.tally import Tally
from soak.traffic import Worker

_MAX_GROWTH = 8 * 1024**2  # bytes of resident memory
_WARM_UP = 0.2  # of the total time
_COMPARED = 0.1  # of the total time, without and beside strangers each
_TIMES_USUAL = 2.0  # p99 of good users beside strangers, at most
_NOISE = 5.0  # milliseconds of p99 that a busy machine causes by itself
# In the background, with two connections each
_FLOODS = ("refusals", "heads", "chunks", "early answers", "streams", "frames")
_IDLE_GAUGES = ("enforcer_connections", "enforcer_requests_in_flight", "enforcer_introspection_in_flight")
_RULES = [
    {"name": "allowed", "path": "/allowed/**", "scopes": ["read"]},
    {"name": "denied", "path": "/denied/**", "scopes": ["read", "never"]},
]


class IdleUsage(NamedTuple):
    """The resources of the idle enforcer: bytes, file descriptors, and the sum of gauges that must be 0."""

    memory: int
    descriptors: int
    in_flight: float

    def __str__(self) -> str:
        return f"{self.memory / 1024**2:.1f} MiB, {self.descriptors} descriptors"


def _settings(app: int, grpc_app: int, authorization: int, version: int = 0) -> str:
    """Return the configuration; versions differ in every setting that can change while requests are served."""
    pool = {"keep_alive_timeout": "1s", "response_timeout": "10s", "connections": 256 + version}
    base = f"http://127.0.0.1:{app}"
    return config(
        base,
        authorization,
        authorization_servers=[
            authorization_server(authorization, pool={"keep_alive_timeout": "1s"}, timeout=f"{2000 + version}ms")
        ],
        rules=[
            *_RULES,
            {"name": "calls", "path": "/Echo/**", "scopes": ["read"], "upstream": "grpc"},
            {"name": f"version {version}", "path": "/version", "scopes": ["read"]},
        ],
        upstream={"url": base, "pool": pool},
        upstreams={"grpc": {"url": f"http://127.0.0.1:{grpc_app}", "protocol": "h2c"}},
        # Small tables, which are full after the warm-up: what grows later is a leak.
        cache={"ttl": "5s", "negative_ttl": "1s", "entries": 1000 + version, "negative_entries": 1000},
        forwarding={"chain": ("x-forwarded", "forwarded")[version % 2]},
        limits={"unseen_tokens": {"rate": 1_000_000, "burst": 1_000_000}},
        timeouts={
            "keep_alive": "20s"
        },  # ends the connection of garbage that is only blank lines, which are not a request
    )


def _traffic(
    process: Enforcer, outages: Outages, reloads: Reloads, connections: int, seconds: float, tally: Tally
) -> IdleUsage:
    """Generate traffic with outages and reloads, and return the usage of the enforcer after all clients left."""
    outages.start()
    reloads.start()
    stopped = threading.Event()
    with ExitStack() as floods:
        channel = floods.enter_context(grpc.insecure_channel(f"127.0.0.1:{process.port}"))
        workers = [Worker(process.port, tally, stopped, channel) for _ in range(connections)]
        for name in _FLOODS:
            floods.enter_context(flooded(name, process.port, 2))
        floods.enter_context(strangers(process.port))
        # A target that no rule matches, so that only the enforcer has a part in the times.
        times = floods.enter_context(honest(process, seconds, "--connections", "2", "--target", "/nowhere"))
        for worker in workers:
            worker.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.process.poll() is None:
            time.sleep(0.1)
        outages.end()
        reloads.end()
        stopped.set()
        for worker in workers:
            worker.join()
        click.echo(f"honest clients: {times()}")
    pid = process.process.pid
    descriptors = settled(lambda: open_descriptors(pid), 3)
    return IdleUsage(resident_memory(pid), descriptors, sum(metric(process, name) for name in _IDLE_GAUGES))


def _compare(folder: Path, app: int, authorization: int, seconds: float, tally: Tally) -> None:
    """Compare good users' times without and beside strangers, over TLS; their responses must be right in both."""
    certificate, key = Authority(folder).issue("localhost")
    listener = {"address": "127.0.0.1:0", "tls": {"certificate": str(certificate), "key": str(key)}}
    text = config(f"http://127.0.0.1:{app}", authorization, rules=_RULES, listener=listener)
    options = ("--connections", "4", "--target", "/allowed/sized/100", "--tls")
    with enforcer(text, launcher=COMMAND) as process:
        with honest(process, seconds, *options) as alone:
            usual = alone()
        with strangers(process.port, tls=True), honest(process, seconds, *options) as beside:
            times = beside()
    for name, measured in (("alone", usual), ("beside strangers", times)):
        click.echo(f"good users {name}: p50 {measured.p50:.2f} ms, p99 {measured.p99:.2f} ms, {measured.rate:.0f}/s")
        if set(measured.statuses) != {"200"} or measured.cut:
            tally.error(f"good users {name}: {measured.statuses}, {measured.cut} connections were cut")
    if times.p99 > _TIMES_USUAL * max(usual.p99, _NOISE):
        tally.error(f"strangers take good users' p99 from {usual.p99:.2f} to {times.p99:.2f} ms")


def _watch(process: Enforcer, tally: Tally) -> None:
    """Read the enforcer's log, which must not contain an internal error."""
    for line in process.process.stderr or ():
        if "internal error" in line or "Traceback" in line or "exception" in line:
            tally.error(f"log: {line.rstrip()}")


@click.command()
@click.option("--seconds", default=600, show_default=True, help="Seconds to run.")
@click.option("--connections", default=200, show_default=True, help="Number of concurrent clients.")
def main(seconds: int, connections: int) -> None:
    """Load the enforcer with mixed traffic while its configuration changes and the servers around it are killed."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        violations = Path(folder) / "violations"
        violations.touch()
        with (
            running("soak.app:app", violations) as app,
            running("soak.authorization:app", violations) as authorization,
            grpc_app() as (_, grpc_port),
            enforcer(_settings(app.port, grpc_port, authorization.port), launcher=COMMAND) as process,
        ):

            def version(number: int) -> str:
                return _settings(app.port, grpc_port, authorization.port, number)

            threading.Thread(target=_watch, args=(process, tally), daemon=True).start()
            phases = [(Outages([app, authorization]), seconds * share) for share in (_WARM_UP, 1 - _WARM_UP)]
            before, after = (
                _traffic(process, outages, Reloads(process, version), connections, length, tally)
                for outages, length in phases
            )
            applied, rejected = (
                metric(process, f'enforcer_config_reloads_total{{result="{result}"}}')
                for result in ("success", "failure")
            )
            _compare(Path(folder), app.port, authorization.port, max(seconds * _COMPARED, 3.0), tally)
        for violation in violations.read_text().splitlines():
            tally.error(f"app: {violation}")
    if after.memory - before.memory > _MAX_GROWTH:
        tally.error("memory has grown")
    if after.descriptors > before.descriptors:
        tally.error("descriptors have grown")
    if after.in_flight:
        tally.error("requests or connections are still open")
    for line in tally.lines():
        click.echo(line)
    count = sum(outages.count for outages, _ in phases)
    click.echo(f"{sum(tally.outcomes.values())} exchanges on {connections} connections, {count} outages")
    click.echo(f"{applied:.0f} configurations were applied, {rejected:.0f} invalid ones were rejected")
    click.echo(f"after the warm-up: {before}; at the end: {after}")
    for error in tally.errors[:50]:
        click.echo(f"ERROR: {error}", err=True)
    click.echo(f"{len(tally.errors)} errors")
    sys.exit(1 if tally.errors else 0)


if __name__ == "__main__":
    main()
