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

_MAX_SIZE: Final = 64 * 1024**2
"""Bytes of a document. The largest public ones have 12 MiB. Bounds memory."""


@click.command(name="import-openapi")
@click.argument("specification", metavar="SPEC", type=click.Path(path_type=Path))
@click.option(
    "--check", "config", type=click.Path(path_type=Path), help="Compare with the rules of this configuration instead."
)
def command(specification: Path, config: Path | None) -> None:
    """Propose a configuration with rules for the paths, methods and scopes of SPEC (OpenAPI 3.0 or 3.1).

    With --check, list the operations without a rule and the rules without an operation.

    Exit codes: 0 printed, 1 --check found differences, 2 wrong usage or an invalid file.

    \b
    Examples:
      enforcer import-openapi openapi.yaml > config.yaml
      enforcer import-openapi openapi.yaml --check config.yaml
    """
    try:
        document = read(_load(specification))
    except ValueError as error:
        click.echo(f"{specification}: {error}", err=True)
        sys.exit(2)
    for line in document.left_out:
        click.echo(f"{specification}: left out: {line}", err=True)
    if config is not None:
        sys.exit(_compare(document, config))
    if not document.operations:
        click.echo(f"{specification}: no operation can be written as a rule", err=True)
        sys.exit(2)
    click.echo(_configuration(document), nl=False)


def _load(path: Path) -> Any:
    """Return a document with every YAML scalar as a string, because a scope may be called `on`. Raises ValueError."""
    data = read_file(path, _MAX_SIZE)
    try:
        return json.loads(data) if data.lstrip()[:1] == b"{" else yaml.load(data, yaml.CBaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError) as error:
        raise OpenAPIError(f"cannot be read: {' '.join(str(error).split())}") from None


_HEAD: Final = """
upstream:
  url: http://127.0.0.1:8090 # yours: the app

authorization_servers: # yours: introspects tokens (RFC 7662)
  - introspection_endpoint: http://127.0.0.1:8085/introspect
    client_id: enforcer # the enforcer's own client, registered there
    client_secret: {env: ENFORCER_CLIENT_SECRET} # or {file: path}
    audience: [https://api.example.org] # the app's identifier at the authorization server
"""


def _configuration(document: Specification) -> str:
    head = [
        f"Proposed from {document.title}. Change what is marked with yours, and review each rule before you use it:",
        "a rule without scopes lets every active token pass.",
    ]
    left_out = ["Left out, and so refused:", *(f"  {line}" for line in document.left_out)] if document.left_out else []
    lines = [*comment(head), _HEAD, write(proposals(document)), *comment(left_out)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _compare(document: Specification, config: Path) -> int:
    gaps = compare(document, open_policy(config).policy)
    for operation in gaps.operations:
        click.echo(f"no rule matches {operation.method} {operation.path} ({operation.name})")
    for entry in gaps.rules:
        click.echo(f'{entry.where}: no operation matches rule "{entry.rule.name}"')
    if gaps.operations or gaps.rules:
        return 1
    click.echo(f"{len(document.operations)} operations have a rule, and each rule has an operation")
    return 0
