"""`enforcer schema`."""

from __future__ import annotations

import json

import click

from enforcer.config.schema import schema


@click.command(name="schema")
def command() -> None:
    """Print the JSON Schema of the configuration.

    Exit codes: 0 printed, 2 wrong usage.

    \b
    Example, for editors that read `# yaml-language-server: $schema=schema.json`:
      enforcer schema > schema.json
    """
    click.echo(json.dumps(schema(), indent=2))
