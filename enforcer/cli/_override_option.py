"""How a command lets settings be said beside the configuration's file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from enforcer.config.overrides import Override, parse_override

F = TypeVar("F", bound=Callable[..., Any])


class _Setting(click.ParamType[Override]):
    name = "KEY=VALUE"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Override:
        try:
            return parse_override(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)


def overrides_option(function: F) -> F:
    """Add the option that says a setting; `overrides` are those given, the last one of a key counts."""
    option = click.option(
        "--set",
        "overrides",
        type=_Setting(),
        multiple=True,
        help="Set what the file says otherwise, or not: the dotted key, and its value as in the file. May stand often.",
    )
    return option(function)
