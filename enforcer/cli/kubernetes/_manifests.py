"""Output of commands that change manifests: the manifests on standard output, a report on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click

from enforcer.errors import EnforcerError
from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.kubernetes.inject.report import QUIET, written
from enforcer.yamltext.stream import Stream

SUCCESS: Final = 0
UNREADABLE: Final = 1
"""Usage error, or something that cannot be read or written."""
REFUSED: Final = 2
"""A workload cannot be injected; the others are."""
MISSING: Final = 3
"""`--check`: a workload is not injected."""

F = TypeVar("F", bound=Callable[..., Any])


class _UsageError(click.UsageError):
    exit_code = UNREADABLE


class ManifestCommand(click.Command):
    """A command that exits with 1 for wrong usage and unreadable input, because 2 means that a workload was refused."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        with _usage_errors():
            return super().make_context(*args, **more)

    def invoke(self, context: click.Context) -> Any:
        with _usage_errors():
            try:
                return super().invoke(context)
            except EnforcerError as error:
                click.echo(error, err=True)
                sys.exit(UNREADABLE)


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        raise _UsageError(error.format_message(), error.ctx) from None


def output_options(function: F) -> F:
    """Add the options for output and report."""
    output = click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["yaml", "json", "patch", "diff"]),
        help="yaml (the input, edited in place), json, patch (patches for a kustomization, without new objects) "
        "or diff. Default: json if the input is JSON, else yaml.",
    )
    quiet = click.option("-q", "--quiet", is_flag=True, help="Report only warnings and refusals.")
    return output(quiet(function))


def report(outcome: Outcome, quiet: bool) -> None:
    """Write the report to standard error."""
    for line in written(line for line in outcome.report if not quiet or line.result in QUIET):
        click.echo(line, err=True)


def write(stream: Stream, outcome: Outcome, form: str | None) -> None:
    """Write the manifests to standard output; raises StreamError."""
    make = {"yaml": stream.as_yaml, "json": stream.as_json, "patch": stream.as_patches, "diff": stream.as_diff}
    text = make[form or ("json" if stream.is_json() else "yaml")](outcome)
    sys.stdout.buffer.write(text.encode())
