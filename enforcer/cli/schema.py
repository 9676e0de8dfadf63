"""`enforcer schema`."""

from __future__ import annotations

import json
from typing import Any, Final

import click
from pydantic import TypeAdapter

from enforcer.config.model import ADAPTER, RULE_FILE_ADAPTER
from enforcer.config.policy_test_file import ADAPTER as TESTS_ADAPTER
from enforcer.config.schema import schema

_ADAPTERS: Final[dict[str, TypeAdapter[Any]]] = {"config": ADAPTER, "rules": RULE_FILE_ADAPTER, "tests": TESTS_ADAPTER}


@click.command(name="schema")
@click.argument("kind", type=click.Choice([*_ADAPTERS]), default="config")
def command(kind: str) -> None:
    """Print the JSON Schema of the configuration, of a file of rules, or of policy tests.

    Exit codes: 0 printed, 2 wrong usage.

    \b
    Examples, for editors that read `# yaml-language-server: $schema=rules.schema.json`:
      enforcer schema > config.schema.json
      enforcer schema rules > rules.schema.json
      enforcer schema tests > tests.schema.json
    """
    click.echo(json.dumps(schema(_ADAPTERS[kind]), indent=2))
