"""What was shown: one line for each thing that must be so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from e2e.tools import ToolError


class Proof:
    """Says of each claim whether it holds, at once; `wrong` counts those that do not."""

    def __init__(self) -> None:
        self.right = 0
        self.wrong = 0

    def part(self, title: str) -> None:
        """Begin a part."""
        click.echo(f"\n{click.style(title, bold=True)}")

    def note(self, text: str) -> None:
        """Say something that is neither right nor wrong."""
        click.echo(f"  · {text}")

    def claim(self, what: str, expected: Any, got: Any) -> None:
        """Compare."""
        if expected == got:
            self.right += 1
            click.echo(f"  {click.style('✓', fg='green')} {what}")
        else:
            self.wrong += 1
            click.echo(f"  {click.style('✗', fg='red')} {what}: expected {expected!r}, got {got!r}")

    def holds(self, what: str, got: Any) -> None:
        """Claim that something is so."""
        self.claim(what, True, bool(got))

    def attempt(self, part: Callable[[], None]) -> None:
        """Go through a part, whose failure is a wrong claim and keeps no other part from being tried."""
        try:
            part()
        except (ToolError, AssertionError) as error:
            self.claim("it can be tried", None, str(error))
