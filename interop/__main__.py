"""`python -m interop`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from harness.processes import enforcer

from interop.servers import SERVERS, Server
from interop.stack import KEY, SECRET, StackError, authorization_server, configuration, country_app
from interop.walk import Step, Walk

_COLUMNS = ("opaque, introspected", "jwt, introspected", "jwt, by keys")


@click.command()
@click.argument("names", metavar="[SERVER]...", nargs=-1, type=click.Choice([server.name for server in SERVERS]))
def main(names: Sequence[str]) -> None:
    """Walk with the tokens of each SERVER, all of them unless said, and print a table of what worked.

    The first time, servers are fetched and built: Node 20, Maven with a JDK 17, and Python 3.11 are needed.
    """
    logs = Path(tempfile.mkdtemp(prefix="interop-"))
    rows, wrong = [], False
    for server in SERVERS:
        if names and server.name not in names:
            continue
        click.echo(f"{server.name} {server.version}")
        try:
            steps = _walks(server, logs / f"{server.name}.log")
        except StackError as error:
            raise click.ClickException(str(error)) from None
        marks = {name: all(step.right for step in walked) for name, walked in steps.items()}
        wrong |= not all(marks.values())
        rows.append((server.name, server.version, *(_mark(marks.get(column)) for column in _COLUMNS)))
    click.echo()
    for row in (("server", "version", *_COLUMNS), tuple("---" for _ in range(5)), *rows):
        click.echo(f"| {' | '.join(row)} |")
    sys.exit(1 if wrong else 0)


def _walks(server: Server, log: Path) -> dict[str, list[Step]]:
    walks = {}
    with authorization_server(server, log) as origin:
        for run in server.runs:
            with (
                country_app() as (url, app),
                enforcer(
                    configuration(server, run, origin, url),
                    {"ENFORCER_CLIENT_SECRET": SECRET, "ENFORCER_CLIENT_KEY": KEY},
                ) as process,
            ):
                steps = list(Walk(server, run, origin, process, app).steps())
            walks[run.name] = steps
            click.echo(f"  {run.name}: {sum(step.right for step in steps)} of {len(steps)} steps are right")
            for step in steps:
                if not step.right:
                    click.echo(f"    ✗ {step.name}: expected {step.expected}, got {step.got}")
    return walks


def _mark(right: bool | None) -> str:
    return {True: "yes", False: "no", None: "–"}[right]


if __name__ == "__main__":
    main(prog_name="python -m interop")
