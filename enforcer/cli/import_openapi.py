"""`enforcer import-openapi`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click
import yaml

from enforcer.analysis.openapi import OpenAPIError, Specification, compare, proposals, read
from enforcer.analysis.rule_yaml import comment, write
from enforcer.cli._policy import open_policy
from enforcer.config.sources import read as read_file

_LARGEST: Final = 64 * 1024**2
"""Bytes of a document. The largest public ones have 12 MiB."""


@click.command(name="import-openapi")
@click.argument("specification", metavar="SPEC", type=click.Path(path_type=Path))
@click.option(
    "--check", "config", type=click.Path(path_type=Path), help="Compare with the rules of this configuration instead."
)
def command(specification: Path, config: Path | None) -> None:
    """Propose a configuration with rules for the paths, methods and scopes of SPEC (OpenAPI 3.0 or 3.1).

    With --check, tell of operations without a rule and of rules without an operation, and end with 1 if there are any.

    \b
    Examples:
      enforcer import-openapi openapi.yaml > config.yaml
      enforcer import-openapi openapi.yaml --check config.yaml
    """
    try:
        found = read(_load(specification))
    except ValueError as error:
        click.echo(f"{specification}: {error}", err=True)
        sys.exit(2)
    for line in found.left_out:
        click.echo(f"{specification}: left out: {line}", err=True)
    if config is not None:
        sys.exit(_compare(found, config))
    if not found.operations:
        click.echo(f"{specification}: there is no operation that a rule can be for", err=True)
        sys.exit(2)
    click.echo(_configuration(found), nl=False)


def _load(path: Path) -> Any:
    """Read a document's values, as text all: a scope may be called `on`; raises ValueError."""
    data = read_file(path, _LARGEST)
    try:
        return json.loads(data) if data.lstrip()[:1] == b"{" else yaml.load(data, yaml.CBaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError) as error:
        raise OpenAPIError(f"cannot be read: {' '.join(str(error).split())}") from None


_HEAD: Final = """
upstream:
  url: http://127.0.0.1:8090 # yours: the app

authorization_servers: # yours: who is asked what a token is worth (RFC 7662)
  - introspection_endpoint: http://127.0.0.1:8085/introspect
    client_id: enforcer # the enforcer's own client, registered there
    client_secret: {env: ENFORCER_CLIENT_SECRET} # or {file: path}
    audience: [https://api.example.org] # whom tokens must be for: the app, by the name that it has there
"""


def _configuration(found: Specification) -> str:
    head = [
        f"Proposed from {found.title}. Change what is marked with yours, and look at each rule before you use it:",
        "a rule without scopes lets every active token pass.",
    ]
    left_out = ["Left out, and so refused:", *(f"  {line}" for line in found.left_out)] if found.left_out else []
    lines = [*comment(head), _HEAD, write(proposals(found)), *comment(left_out)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _compare(found: Specification, config: Path) -> int:
    gaps = compare(found, open_policy(config).policy)
    for operation in gaps.operations:
        click.echo(f"no rule is for {operation.method} {operation.path} ({operation.name})")
    for entry in gaps.rules:
        click.echo(f'{entry.where}: no operation is for rule "{entry.rule.name}"')
    if gaps.operations or gaps.rules:
        return 1
    click.echo(f"{len(found.operations)} operations, and each rule is for one of them")
    return 0
