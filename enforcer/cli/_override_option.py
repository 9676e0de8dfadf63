"""The option `--set`, which overrides settings of the configuration file."""

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
    """Add `--set`; the command gets the values as `overrides`. The last override of a key applies."""
    option = click.option(
        "--set",
        "overrides",
        type=_Setting(),
        multiple=True,
        help="Override a setting: its dotted key, and its value as in the file. Repeatable.",
    )
    return option(function)
