"""Options that several commands share, and types of option values that a function parses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from enforcer.config.overrides import parse_override

F = TypeVar("F", bound=Callable[..., Any])


class Parsed(click.ParamType[Any]):
    """A value that `parse` reads; it raises ValueError with a message for the user."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{error}, found {value}", parameter, context)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ValueError("expected NAME=VALUE")
    return name, value


PAIR: Final = Parsed("NAME=VALUE", _pair)
"""A name and its value, as a pair."""


def config_option(text: str = "The configuration file.") -> Callable[[F], F]:
    """Return the option `--config`, with its help."""
    path = click.Path(path_type=Path)
    return click.option("--config", type=path, default=Path("config.yaml"), show_default=True, help=text)


def overrides_option(function: F) -> F:
    """Add `--set`; the command gets the values as `overrides`. The last override of a key applies."""
    text = "Override a setting: its dotted key, and its value as in the file. Repeatable."
    setting = Parsed("KEY=VALUE", parse_override)
    return click.option("--set", "overrides", type=setting, multiple=True, help=text)(function)
