"""Types of option values that a function parses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click


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
