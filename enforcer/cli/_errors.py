"""Reporting a configuration that is not valid."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from enforcer.errors import ConfigError


def refuse(error: ConfigError) -> NoReturn:
    """Print every error on a line of its own, and exit with 2."""
    click.echo(error, err=True)
    if len(error.problems) > 1:
        click.echo(f"{len(error.problems)} errors", err=True)
    sys.exit(2)
