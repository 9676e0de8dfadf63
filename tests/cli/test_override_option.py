"""The option `--set`."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.testing import CliRunner

from enforcer.cli._options import overrides_option
from enforcer.config.overrides import Override, parse_override


@click.command()
@overrides_option
def command(overrides: Sequence[Override]) -> None:
    """Print the number of overrides, and whether they are the expected ones."""
    click.echo(
        f"{len(overrides)} {list(overrides) == [parse_override('log.level=debug'), parse_override('mode=report')]}"
    )


def test_overrides_are_parsed_in_order() -> None:
    """The option is repeatable."""
    result = CliRunner().invoke(command, ["--set", "log.level=debug", "--set", "mode=report"])
    assert result.stdout == "2 True\n"
    assert CliRunner().invoke(command, []).stdout == "0 False\n"


def test_an_invalid_override_is_wrong_usage() -> None:
    """The message is the parser's."""
    result = CliRunner().invoke(command, ["--set", "nonsense"])
    assert result.exit_code == 2
    assert "Invalid value for '--set'" in result.stderr
