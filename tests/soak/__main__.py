"""Runs the soak, prints what came of it, and exits 1 when anything was wrong."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import click
from harness.configs import authorization_server, config
from harness.processes import Enforcer, enforcer
from harness.usage import metric, open_descriptors, resident_memory
from harness.waiting import settled

from soak.children import Outages, running
from soak.reloads import Reloads
from soak.tally import Tally
from soak.traffic import Worker

_GROWTH = 8 * 1024**2
_WARM_UP = 0.2  # of the whole time
_QUIET = ("enforcer_connections", "enforcer_requests_in_flight", "enforcer_introspection_in_flight")
_RULES = [
    {"name": "allowed", "path": "/allowed/**", "scopes": ["read"]},
    {"name": "denied", "path": "/denied/**", "scopes": ["read", "never"]},
]


class Use(NamedTuple):
    """What the enforcer uses when nobody asks it anything."""

    memory: int
    descriptors: int
    held: float

    def __str__(self) -> str:
        return f"{self.memory / 1024**2:.1f} MiB, {self.descriptors} descriptors"


def _settings(app: int, authorization: int, version: int = 0) -> str:
    """Write the configuration; each version differs in all that can be changed while requests are served."""
    pool = {"keep_alive_timeout": "1s", "response_timeout": "10s", "connections": 256 + version}
    base = f"http://127.0.0.1:{app}"
    return config(
        base,
        authorization,
        authorization_servers=[
            authorization_server(authorization, pool={"keep_alive_timeout": "1s"}, timeout=f"{2000 + version}ms")
        ],
        rules=[*_RULES, {"name": f"version {version}", "path": "/version", "scopes": ["read"]}],
        upstream={"url": base, "pool": pool},
        cache={"ttl": "5s", "negative_ttl": "1s", "entries": 100_000 + version},
        forwarding={"chain": ("x-forwarded", "forwarded")[version % 2]},
        limits={"unseen_tokens": {"rate": 1_000_000, "burst": 1_000_000}},
        timeouts={"keep_alive": "20s"},  # garbage may be nothing but blank lines, and is then no request
    )


def _traffic(
    process: Enforcer, outages: Outages, reloads: Reloads, connections: int, seconds: float, tally: Tally
) -> Use:
    """Make traffic for a time, with outages and reloads; return what the enforcer uses when all have left."""
    outages.start()
    reloads.start()
    over = threading.Event()
    workers = [Worker(process.port, tally, over) for _ in range(connections)]
    for worker in workers:
        worker.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.process.poll() is None:
        time.sleep(0.1)
    outages.end()
    reloads.end()
    over.set()
    for worker in workers:
        worker.join()
    pid = process.process.pid
    held = settled(lambda: open_descriptors(pid), 3)
    return Use(resident_memory(pid), held, sum(metric(process, name) for name in _QUIET))


def _watch(process: Enforcer, tally: Tally) -> None:
    """Read the enforcer's log, in which there must be no error of its own."""
    for line in process.process.stderr or ():
        if "internal error" in line or "Traceback" in line or "exception" in line:
            tally.wrong(f"log: {line.rstrip()}")


@click.command()
@click.option("--seconds", default=600, show_default=True, help="How long.")
@click.option("--connections", default=200, show_default=True, help="How many clients at once.")
def main(seconds: int, connections: int) -> None:
    """Soak the enforcer in mixed traffic while its configuration changes and the servers around it are killed."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        violations = Path(folder) / "violations"
        violations.touch()
        with (
            running("soak.app:app", violations) as app,
            running("soak.authorization:app", violations) as authorization,
            enforcer(_settings(app.port, authorization.port)) as process,
        ):

            def version(number: int) -> str:
                return _settings(app.port, authorization.port, number)

            threading.Thread(target=_watch, args=(process, tally), daemon=True).start()
            parts = [(Outages([app, authorization]), seconds * share) for share in (_WARM_UP, 1 - _WARM_UP)]
            before, after = (
                _traffic(process, outages, Reloads(process, version), connections, part, tally)
                for outages, part in parts
            )
            good, broken = (
                metric(process, f'enforcer_config_reloads_total{{result="{result}"}}')
                for result in ("success", "failure")
            )
        for violation in violations.read_text().splitlines():
            tally.wrong(f"app: {violation}")
    if after.memory - before.memory > _GROWTH:
        tally.wrong("memory has grown")
    if after.descriptors > before.descriptors:
        tally.wrong("descriptors have grown")
    if after.held:
        tally.wrong("requests or connections are still held")
    for line in tally.lines():
        click.echo(line)
    count = sum(outages.count for outages, _ in parts)
    click.echo(f"{sum(tally.outcomes.values())} exchanges on {connections} connections, {count} outages")
    click.echo(f"{good:.0f} configurations were put in force, and {broken:.0f} broken ones were not")
    click.echo(f"after the warm-up: {before}; at the end: {after}")
    for wrong in tally.wrongs[:50]:
        click.echo(f"WRONG: {wrong}", err=True)
    click.echo(f"{len(tally.wrongs)} wrong")
    sys.exit(1 if tally.wrongs else 0)


if __name__ == "__main__":
    main()
