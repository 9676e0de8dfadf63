"""How commands that change manifests end: with the manifests on standard output, and a report on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

import click

from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.kubernetes.inject.report import QUIET, written
from enforcer.yamltext.stream import Stream

FINE: Final = 0
UNREADABLE: Final = 1
"""Wrong use, and what cannot be read or written."""
REFUSED: Final = 2
"""Something cannot be injected; nothing is written."""
MISSING: Final = 3
"""`--check`: something is not injected."""

F = TypeVar("F", bound=Callable[..., Any])


class _WrongUse(click.UsageError):
    exit_code = UNREADABLE


class ManifestCommand(click.Command):
    """A command whose wrong use ends with 1, since 2 says something of the manifests."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        with _wrong_use():
            return super().make_context(*args, **more)

    def invoke(self, context: click.Context) -> Any:
        with _wrong_use():
            return super().invoke(context)


@contextmanager
def _wrong_use() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        raise _WrongUse(error.format_message(), error.ctx) from None


def output_options(function: F) -> F:
    """Add what says how the outcome is told."""
    forms = click.Choice(["yaml", "json", "patch", "diff"])
    decorators = (
        click.option(
            "-o",
            "--output",
            "form",
            type=forms,
            help="yaml (as it came, changed in place; the default), json (the default for JSON), patch (for a "
            "kustomization, without new objects) or diff.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Report warnings and refusals alone."),
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def report(outcome: Outcome, quiet: bool) -> None:
    """Write the report."""
    for line in written(line for line in outcome.report if not quiet or line.result in QUIET):
        click.echo(line, err=True)


def write(stream: Stream, outcome: Outcome, form: str | None) -> None:
    """Write the manifests; raises StreamError."""
    make = {"yaml": stream.as_yaml, "json": stream.as_json, "patch": stream.as_patches, "diff": stream.as_diff}
    text = make[form or ("json" if stream.is_json() else "yaml")](outcome)
    sys.stdout.buffer.write(text.encode())


def fail(error: Exception) -> NoReturn:
    """Tell what cannot be read or written, and end."""
    click.echo(error, err=True)
    sys.exit(UNREADABLE)
