"""Reports the results of an end-to-end run: a line for each claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from e2e.tools import ToolError


class Proof:
    """Prints each claim with its result at once; `wrong` counts the failed claims."""

    def __init__(self) -> None:
        self.right = 0
        self.wrong = 0

    def part(self, title: str) -> None:
        """Print the title of a part."""
        click.echo(f"\n{click.style(title, bold=True)}")

    def note(self, text: str) -> None:
        """Print a remark that is not a claim."""
        click.echo(f"  · {text}")

    def claim(self, what: str, expected: Any, got: Any) -> None:
        """Claim that two values are equal."""
        if expected == got:
            self.right += 1
            click.echo(f"  {click.style('✓', fg='green')} {what}")
        else:
            self.wrong += 1
            click.echo(f"  {click.style('✗', fg='red')} {what}: expected {expected!r}, got {got!r}")

    def holds(self, what: str, got: Any) -> None:
        """Claim that a value is true."""
        self.claim(what, True, bool(got))

    def attempt(self, part: Callable[[], None]) -> None:
        """Run a part; an error in it is a failed claim, and the other parts still run."""
        try:
            part()
        except (ToolError, AssertionError) as error:
            self.claim("it runs", None, str(error))
