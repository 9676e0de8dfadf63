"""Options whose values a function reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click


class Read(click.ParamType[Any]):
    """A value that a function reads, which raises ValueError."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            return self._read(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{error}, found {value}", parameter, context)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise ValueError("expected NAME=VALUE")
    return name, value


PAIR: Final = Read("NAME=VALUE", _pair)
"""A name and its value."""
