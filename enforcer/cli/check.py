"""`enforcer check`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from enforcer.config.load import load
from enforcer.errors import ConfigError


@click.command(name="check")
@click.argument("config", type=click.Path(path_type=Path), default=Path("config.yaml"))
def command(config: Path) -> None:
    """Read CONFIG (config.yaml unless said) as `run` would, open nothing, and print every mistake with its line.

    \b
    Examples:
      enforcer check
      enforcer check /etc/enforcer/config.yaml && systemctl reload enforcer
    """
    try:
        loaded = load(config, os.environ)
    except ConfigError as error:
        click.echo(error, err=True)
        count = len(error.problems)
        click.echo(f"{config}: {count} {'mistake' if count == 1 else 'mistakes'}", err=True)
        sys.exit(2)
    click.echo(f"{config}: good; {len(loaded.config.rules)} rules, hash {loaded.hash}")
