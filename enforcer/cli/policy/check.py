"""`enforcer check`."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from enforcer.analysis.lint import Level
from enforcer.cli._options import overrides_option
from enforcer.cli._policy import loaded_policy
from enforcer.config.load import load_with_document
from enforcer.config.memory import memory_bounds
from enforcer.config.overrides import Override
from enforcer.config.validate.warnings import find_warnings
from enforcer.errors import ConfigError, Problem

_GITHUB: Final = {"error": "error", "warning": "warning", "note": "notice"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: `level` is error, warning or note; `code` identifies the kind of finding."""

    level: str
    code: str
    problem: Problem


def as_text(finding: Finding) -> str:
    """Return a line of text. Errors are shown without their level."""
    problem = finding.problem
    if finding.level == "error":
        return str(problem)
    return str(Problem(problem.file, problem.line, problem.column, finding.level, f"{problem.path}: {problem.message}"))


def as_json(findings: Sequence[Finding], about: Mapping[str, Any]) -> str:
    """Return one JSON object with the members of `about` and the findings."""
    members = [{"level": each.level, "code": each.code, **asdict(each.problem)} for each in findings]
    return json.dumps({**about, "findings": members}, indent=2)


def as_github(finding: Finding) -> str:
    """Return a workflow command, which GitHub shows as an annotation of the line."""
    problem = finding.problem
    properties = {"file": problem.file, "line": problem.line, "col": problem.column}
    place = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value)
    message = f"{problem.path}: {problem.message}" if problem.path else problem.message
    return f"::{_GITHUB[finding.level]} {place}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


@click.command(name="check")
@click.argument("config", type=click.Path(path_type=Path), default=Path("config.yaml"))
@click.option("--strict", is_flag=True, help="Treat warnings as errors, with exit code 1.")
@click.option(
    "form",
    "--format",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="Lines of text, one JSON object, or GitHub's workflow commands.",
)
@click.option("--no-secrets", is_flag=True, help="Read no secrets, and ignore missing files of TLS: for CI.")
@overrides_option
def command(config: Path, strict: bool, form: str, no_secrets: bool, overrides: Sequence[Override]) -> None:
    """Read CONFIG (default: config.yaml) as `run` would, open no sockets, and print every error with its line.

    A valid configuration may have warnings (probably unintended settings) and notes. The size in MiB is the memory that
    all tables, queues and requests in flight may take together, with the process itself and a reload. With
    `--format json`, `memory` has the bytes of each part, by the setting that bounds it.

    Exit codes: 0 valid, 1 refused by --strict, 2 wrong usage or an invalid configuration.

    \b
    Examples:
      enforcer check
      enforcer check /etc/enforcer/config.yaml && systemctl restart enforcer
      enforcer check --strict --no-secrets --format github
    """
    try:
        loaded, document = load_with_document(config, None if no_secrets else os.environ, overrides)
    except ConfigError as error:
        if form == "text":
            raise
        errors = [Finding("error", "mistake", problem) for problem in error.problems]
        _print(form, errors, {"file": str(config), "usable": False})
        sys.exit(2)
    findings = [
        Finding("error" if strict and each.level is Level.WARNING else each.level.value, each.code, each.problem)
        for each in find_warnings(loaded.config, document, loaded_policy(loaded, document).policy)
    ]
    count = len(loaded.config.rules)
    memory = memory_bounds(loaded.config, document.count)
    about = {"file": str(config), "usable": True, "rules": count, "hash": loaded.hash, "memory": dict(memory)}
    _print(form, findings, about)
    if form == "text":
        counts = Counter(each.level for each in findings)
        summary = "".join(f", {_count(number, level)}" for level, number in sorted(counts.items()))
        allowed = -(-sum(memory.values()) // 1024**2)
        verdict = "refused by --strict" if counts["error"] else "good"
        click.echo(f"{config}: {verdict}; {_count(count, 'rule')}, hash {loaded.hash}, {allowed} MiB{summary}")
    sys.exit(1 if any(each.level == "error" for each in findings) else 0)


def _print(form: str, findings: list[Finding], about: dict[str, object]) -> None:
    if form == "json":
        click.echo(as_json(findings, about))
    for each in findings:
        if form == "github":
            click.echo(as_github(each))
        elif form == "text":
            click.echo(as_text(each), err=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
