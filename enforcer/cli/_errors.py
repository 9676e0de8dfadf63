"""How a command tells of a configuration that cannot be used."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from enforcer.errors import ConfigError


def refuse(error: ConfigError) -> NoReturn:
    """Print every mistake, a line each, and end with 2."""
    click.echo(error, err=True)
    if len(error.problems) > 1:
        click.echo(f"{len(error.problems)} mistakes", err=True)
    sys.exit(2)
