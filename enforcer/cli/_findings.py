"""Formats for findings in files: text, JSON, and GitHub's workflow commands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from enforcer.errors import Problem

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
