"""Reports the results of an end-to-end run: a line for each claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from e2e.tools import ToolError


class Proof:
    """Prints each claim with its result at once; `failed` counts the failed claims."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def part(self, title: str) -> None:
        """Print the title of a part."""
        click.echo(f"\n{click.style(title, bold=True)}")

    def note(self, text: str) -> None:
        """Print a remark that is not a claim."""
        click.echo(f"  · {text}")

    def claim(self, text: str, expected: Any, actual: Any) -> None:
        """Claim that two values are equal."""
        if expected == actual:
            self.passed += 1
            click.echo(f"  {click.style('✓', fg='green')} {text}")
        else:
            self.failed += 1
            click.echo(f"  {click.style('✗', fg='red')} {text}: expected {expected!r}, actual {actual!r}")

    def holds(self, text: str, actual: Any) -> None:
        """Claim that a value is true."""
        self.claim(text, True, bool(actual))

    def attempt(self, part: Callable[[], None]) -> None:
        """Run a part; an error in it is a failed claim, and the other parts still run."""
        try:
            part()
        except (ToolError, AssertionError) as error:
            self.claim("the part ends without an error", None, str(error))
