"""Output of commands that change manifests: the manifests on standard output, a report on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

import click

from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.kubernetes.inject.report import QUIET, written
from enforcer.yamltext.stream import Stream

SUCCESS: Final = 0
UNREADABLE: Final = 1
"""Usage error, or something that cannot be read or written."""
REFUSED: Final = 2
"""A workload cannot be injected; nothing is written."""
MISSING: Final = 3
"""`--check`: a workload is not injected."""

F = TypeVar("F", bound=Callable[..., Any])


class _UsageError(click.UsageError):
    exit_code = UNREADABLE


class ManifestCommand(click.Command):
    """A command whose usage errors exit with 1, because 2 means that a workload was refused."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        with _usage_errors():
            return super().make_context(*args, **more)

    def invoke(self, context: click.Context) -> Any:
        with _usage_errors():
            return super().invoke(context)


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        raise _UsageError(error.format_message(), error.ctx) from None


def output_options(function: F) -> F:
    """Add the options for output and report."""
    forms = click.Choice(["yaml", "json", "patch", "diff"])
    decorators = (
        click.option(
            "-o",
            "--output",
            "form",
            type=forms,
            help="yaml (the input, edited in place), json, patch (patches for a kustomization, without new objects) "
            "or diff. Default: json if the input is JSON, else yaml.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Report only warnings and refusals."),
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def report(outcome: Outcome, quiet: bool) -> None:
    """Write the report to standard error."""
    for line in written(line for line in outcome.report if not quiet or line.result in QUIET):
        click.echo(line, err=True)


def write(stream: Stream, outcome: Outcome, form: str | None) -> None:
    """Write the manifests to standard output; raises StreamError."""
    make = {"yaml": stream.as_yaml, "json": stream.as_json, "patch": stream.as_patches, "diff": stream.as_diff}
    text = make[form or ("json" if stream.is_json() else "yaml")](outcome)
    sys.stdout.buffer.write(text.encode())


def fail(error: Exception) -> NoReturn:
    """Print an error and exit with UNREADABLE."""
    click.echo(error, err=True)
    sys.exit(UNREADABLE)
