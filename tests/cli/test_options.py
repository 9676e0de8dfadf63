"""Types of option values on the command line."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from enforcer.cli._options import PAIR, Parsed


@click.command()
@click.option("--number", type=Parsed("NUMBER", int), default=7)
@click.option("--pair", type=PAIR)
def command(number: int, pair: tuple[str, str] | None) -> None:
    click.echo(f"{number} {pair}")


@pytest.mark.parametrize(
    ("arguments", "output"),
    [([], "7 None\n"), (["--number", "3", "--pair", "a=b=c"], "3 ('a', 'b=c')\n"), (["--pair", "a="], "7 ('a', '')\n")],
)
def test_a_value_is_parsed_and_a_default_is_not(arguments: list[str], output: str) -> None:
    """A pair is split at its first equals sign."""
    assert CliRunner().invoke(command, arguments).stdout == output


@pytest.mark.parametrize(("option", "value"), [("--number", "three"), ("--pair", "a"), ("--pair", "=b")])
def test_an_invalid_value_is_wrong_usage(option: str, value: str) -> None:
    """The message has the parser's text and the value."""
    result = CliRunner().invoke(command, [option, value])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr
    assert f"found {value}" in result.stderr
