"""`enforcer import-openapi`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import click
import yaml

from enforcer.analysis.openapi.comparison import Comparison, compare
from enforcer.analysis.openapi.nodes import Cause, DuplicateKey, OpenAPIError
from enforcer.analysis.openapi.proposals import Proposed, propose
from enforcer.analysis.openapi.reader import Specification, read, summary
from enforcer.analysis.rule_yaml import comment, write
from enforcer.cli._policy import open_policy
from enforcer.config.documents.sources import read as read_file

_MAX_SIZE: Final = 64 * 1024**2
"""Bytes of a document and the files that its references lead to. The largest public ones have 36 MiB. Bounds memory."""


@click.command(name="import-openapi")
@click.argument("specification", metavar="SPEC", type=click.Path(path_type=Path))
@click.option(
    "--check", "config", type=click.Path(path_type=Path), help="Compare with the rules of this configuration instead."
)
def command(specification: Path, config: Path | None) -> None:
    """Propose a configuration with rules for the paths, methods and scopes of SPEC (OpenAPI 2.0 to 3.2).

    SPEC is a file, or - for standard input. References to other files in its folder are followed, never to URLs.

    With --check, list the operations without a rule, the rules that require less than the document, and the rules
    without an operation.

    Exit codes: 0 printed, 1 --check found differences, 2 wrong usage or an invalid file.

    \b
    Examples:
      enforcer import-openapi openapi.yaml > config.yaml
      curl https://api.example.org/openapi.json | enforcer import-openapi - > config.yaml
      enforcer import-openapi openapi.yaml --check config.yaml
    """
    try:
        document = _read(specification)
    except ValueError as error:
        click.echo(f"{specification}: {error}", err=True)
        sys.exit(2)
    if config is not None:
        sys.exit(_compare(document, config))
    proposed = propose(document)
    for outcome in proposed.left_out:
        click.echo(f"{specification}: left out: {outcome}", err=True)
    for line in summary(outcome.left_out for outcome in proposed.left_out):
        click.echo(f"{specification}: {line}", err=True)
    if not proposed.rules:
        click.echo(f"{specification}: no operation can be written as a rule", err=True)
        sys.exit(2)
    click.echo(_configuration(document.title, proposed), nl=False)


def _read(specification: Path) -> Specification:
    """Read a document; raises ValueError."""
    if str(specification) != "-":
        folder = _Folder(specification.parent)
        return read(folder.read(specification), folder.load)
    data = sys.stdin.buffer.read(_MAX_SIZE + 1)
    if len(data) > _MAX_SIZE:
        raise ValueError(f"has more than {_MAX_SIZE} bytes")
    return read(_parse(data))


class _Folder:
    """The folder of a document: reads files in it until they have `_MAX_SIZE` bytes together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._bytes_left = _MAX_SIZE

    def load(self, file: str) -> Any:
        """Read a file by its path relative to the folder; raises OpenAPIError."""
        path = (self._folder / file).resolve()
        if not path.is_relative_to(self._folder):  # through a symbolic link
            raise OpenAPIError(Cause.REFERENCE, f"{file} leads out of the document's folder")
        try:
            return self.read(path)
        except ValueError as error:
            raise OpenAPIError(Cause.REFERENCE, f"{file}: {error}") from None

    def read(self, path: Path) -> Any:
        """Read a file; raises ValueError."""
        data = read_file(path, self._bytes_left)
        self._bytes_left -= len(data)
        return _parse(data)


class _Loader(yaml.CBaseLoader):
    """Reads every scalar except null as a string, because a scope may be called `on`."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    return _unique(
        [(loader.construct_object(key, True), loader.construct_object(value, True)) for key, value in node.value]
    )


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Hashable, Any]:
    members: dict[Hashable, Any] = {}
    for key, value in pairs:
        if not isinstance(key, Hashable):
            raise OpenAPIError(Cause.SHAPE, "cannot be read: a key of a mapping is a list or a mapping")
        members[key] = DuplicateKey() if key in members else value
    return members


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_constructor("tag:yaml.org,2002:null", lambda *_: None)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _parse(data: bytes) -> Any:
    """Parse JSON or YAML; raises OpenAPIError."""
    try:
        if data.lstrip()[:1] == b"{":
            return json.loads(data, object_pairs_hook=_unique)
        return yaml.load(data, _Loader)  # noqa: S506
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise OpenAPIError(Cause.SHAPE, f"cannot be read: {' '.join(str(error).split())}") from None


_HEAD: Final = """
upstream:
  url: http://127.0.0.1:8090 # yours: the app

authorization_servers: # yours: introspects tokens (RFC 7662)
  - introspection_endpoint: http://127.0.0.1:8085/introspect
    client_id: enforcer # the enforcer's own client, registered there
    client_secret: {env: ENFORCER_CLIENT_SECRET} # or {file: path}
    audience: [https://api.example.org] # the app's identifier at the authorization server
"""


def _configuration(title: str, proposed: Proposed) -> str:
    head = [
        f"Proposed from {title}. Change what is marked with yours, and review each rule before you use it:",
        "a rule without scopes lets every active token pass.",
    ]
    left_out: list[str] = []
    if proposed.left_out:
        left_out = ["Left out, and refused unless a line names a rule that matches:"]
        left_out += [f"  {outcome}" for outcome in proposed.left_out]
    lines = [*comment(head), _HEAD, write(proposed.rules), *comment(left_out)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _compare(document: Specification, config: Path) -> int:
    differences = compare(document, open_policy(config).policy)
    for line in _lines(differences):
        click.echo(line)
    for line in summary(document.left_out):
        click.echo(line)
    if differences:
        return 1
    number = len(document.operations)
    have = "1 operation has" if number == 1 else f"{number} operations have"
    click.echo(f"{have} a rule that requires as much, and each rule has an operation")
    return 0


def _lines(differences: Comparison) -> list[str]:
    return [
        *(f"no rule matches {label}" for label in differences.without_rule),
        *(
            f'{weaker.entry.where}: rule "{weaker.entry.rule.name}" does not require {weaker.lacks}: {weaker.label}'
            for weaker in differences.weaker
        ),
        *(f'{entry.where}: no operation matches rule "{entry.rule.name}"' for entry in differences.without_operation),
    ]
