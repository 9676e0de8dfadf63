"""The command line, `python -m interop`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from harness.processes import enforcer

from interop.servers import SERVERS, AuthorizationServer
from interop.stack import KEY, SECRET, StackError, authorization_server, configuration, country_app
from interop.walk import Expectation, InteropWalk

_COLUMNS = ("opaque, introspected", "jwt, introspected", "jwt, by keys")


@click.command()
@click.argument("names", metavar="[SERVER]...", nargs=-1, type=click.Choice([server.name for server in SERVERS]))
def main(names: Sequence[str]) -> None:
    """Test the enforcer with the tokens of each SERVER (default: all), and print a table of the results.

    The first run downloads and builds the servers, which takes Node 20, Maven with JDK 17, and Python 3.11.
    """
    logs = Path(tempfile.mkdtemp(prefix="interop-"))
    rows, failed = [], False
    for server in SERVERS:
        if names and server.name not in names:
            continue
        click.echo(f"{server.name} {server.version}")
        try:
            expectations = _check(server, logs / f"{server.name}.log")
        except StackError as error:
            raise click.ClickException(str(error)) from None
        met = {name: all(expectation.met for expectation in checked) for name, checked in expectations.items()}
        failed |= not all(met.values())
        rows.append((server.name, server.version, *(_cell(met.get(column)) for column in _COLUMNS)))
    click.echo()
    for row in (("server", "version", *_COLUMNS), tuple("---" for _ in range(5)), *rows):
        click.echo(f"| {' | '.join(row)} |")
    sys.exit(1 if failed else 0)


def _check(server: AuthorizationServer, log: Path) -> dict[str, list[Expectation]]:
    """Return the checked expectations of each scenario, by its name."""
    by_scenario = {}
    with authorization_server(server, log) as origin:
        for scenario in server.scenarios:
            with (
                country_app() as (url, app),
                enforcer(
                    configuration(server, scenario, origin, url),
                    {"ENFORCER_CLIENT_SECRET": SECRET, "ENFORCER_CLIENT_KEY": KEY},
                ) as process,
            ):
                expectations = list(InteropWalk(server, scenario, origin, process, app).expectations())
            by_scenario[scenario.name] = expectations
            met = sum(expectation.met for expectation in expectations)
            click.echo(f"  {scenario.name}: {met} of {len(expectations)} expectations are met")
            for name, expected, actual in (item for item in expectations if not item.met):
                click.echo(f"    ✗ {name}: expected {expected}, got {actual}")
    return by_scenario


def _cell(met: bool | None) -> str:
    return {True: "yes", False: "no", None: "–"}[met]


if __name__ == "__main__":
    main(prog_name="python -m interop")
