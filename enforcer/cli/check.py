"""`enforcer check`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from enforcer.analysis.lint import Level
from enforcer.cli._errors import refuse
from enforcer.cli._findings import Finding, as_github, as_json, as_text
from enforcer.cli._override_option import overrides_option
from enforcer.cli._policy import opened
from enforcer.config.load import load_with_document
from enforcer.config.overrides import Override
from enforcer.config.validate.warnings import find_warnings
from enforcer.errors import ConfigError


@click.command(name="check")
@click.argument("config", type=click.Path(path_type=Path), default=Path("config.yaml"))
@click.option("--strict", is_flag=True, help="Take warnings for errors, and end with 1.")
@click.option(
    "form",
    "--format",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="Lines for people, one JSON object, or GitHub's workflow commands.",
)
@overrides_option
def command(config: Path, strict: bool, form: str, overrides: Sequence[Override]) -> None:
    """Read CONFIG (config.yaml unless said) as `run` would, open nothing, and print every mistake with its line.

    Where there is none, it prints warnings, of what may not be meant, and notes, of what is worth knowing.

    \b
    Examples:
      enforcer check
      enforcer check /etc/enforcer/config.yaml && systemctl restart enforcer
      enforcer check --strict --format github
    """
    try:
        loaded, document = load_with_document(config, os.environ, overrides)
    except ConfigError as error:
        if form == "text":
            refuse(error)
        mistakes = [Finding("error", "mistake", problem) for problem in error.problems]
        _print(form, mistakes, {"file": str(config), "usable": False})
        sys.exit(2)
    found = [
        Finding("error" if strict and one.level is Level.WARNING else one.level.value, one.code, one.problem)
        for one in find_warnings(loaded.config, document, opened(loaded, document).policy)
    ]
    count = len(loaded.config.rules)
    _print(form, found, {"file": str(config), "usable": True, "rules": count, "hash": loaded.hash})
    if form == "text":
        counts = Counter(one.level for one in found)
        more = "".join(f", {_count(number, level)}" for level, number in sorted(counts.items()))
        verdict = "refused by --strict" if counts["error"] else "good"
        click.echo(f"{config}: {verdict}; {_count(count, 'rule')}, hash {loaded.hash}{more}")
    sys.exit(1 if any(one.level == "error" for one in found) else 0)


def _print(form: str, findings: list[Finding], about: dict[str, object]) -> None:
    if form == "json":
        click.echo(as_json(findings, about))
    for one in findings:
        if form == "github":
            click.echo(as_github(one))
        elif form == "text":
            click.echo(as_text(one), err=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
