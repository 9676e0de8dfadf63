"""Measures honest clients beside each flood, and prints a table; the exit code is 1 if a limit was exceeded."""

from __future__ import annotations

import sys

import click

from enforcer import build_kind
from fairness.bed import bed
from fairness.floods import FLOODS
from fairness.honest import Times

_LIVEZ = 100.0  # milliseconds
_RATIO = 0.5  # of the throughput without a flood


def _row(*cells: object) -> str:
    return f"{cells[0]!s:15}" + "".join(f"{cell!s:>12}" for cell in cells[1:])


def _columns(times: Times) -> tuple[str, ...]:
    return f"{times.p50:.2f}", f"{times.p99:.2f}", f"{times.livez:.1f}", f"{times.rate:.0f}"


@click.command()
@click.option("--seconds", default=5.0, show_default=True, help="Seconds for each flood.")
@click.option("--only", default=None, type=click.Choice(list(FLOODS)), help="One flood.")
def main(seconds: float, only: str | None) -> None:
    """Flood the enforcer in every way that is known, and measure what other clients notice."""
    build = build_kind()
    limit = 20.0 if build == "compiled" else 50.0
    click.echo(f"{build}; p99 below {limit:g} ms, /livez below {_LIVEZ:g} ms")
    click.echo(_row("flood", "connections", "p50 ms", "p99 ms", "livez ms", "requests/s", "ratio"))
    exceeded = False
    with bed(pinned=True) as running:
        alone = {tls: running.measure(None, 0, seconds, tls=tls) for tls in (False, True)}
        for tls, times in alone.items():
            click.echo(_row("none, TLS" if tls else "none", 0, *_columns(times)))
        for name in [only] if only else list(FLOODS):
            for connections in (1, 100):
                times = running.measure(name, connections, seconds)
                ratio = times.rate / alone[FLOODS[name].tls].rate
                wrong = times.p99 >= limit or times.livez >= _LIVEZ or ratio < _RATIO or times.cut > 0
                exceeded |= wrong
                note = ("EXCEEDED",) if wrong else ()
                click.echo(_row(name, connections, *_columns(times), f"{ratio:.2f}", *note))
    sys.exit(1 if exceeded else 0)


if __name__ == "__main__":
    main()
