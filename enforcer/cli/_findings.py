"""How a command tells what it found in files: for people, for programs, or for GitHub's annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from enforcer.errors import Problem

_GITHUB: Final = {"error": "error", "warning": "warning", "note": "notice"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One of them: `level` is error, warning or note, `code` names its kind."""

    level: str
    code: str
    problem: Problem


def as_text(finding: Finding) -> str:
    """Write a line for people; an error is a mistake, which needs no name."""
    problem = finding.problem
    if finding.level == "error":
        return str(problem)
    return str(Problem(problem.file, problem.line, problem.column, finding.level, f"{problem.path}: {problem.message}"))


def as_json(findings: Sequence[Finding], about: Mapping[str, Any]) -> str:
    """Write one JSON object: what is known of the whole, and the findings."""
    listed = [{"level": one.level, "code": one.code, **asdict(one.problem)} for one in findings]
    return json.dumps({**about, "findings": listed}, indent=2)


def as_github(finding: Finding) -> str:
    """Write a workflow command, which GitHub shows at the line."""
    problem = finding.problem
    place = {"file": problem.file, "line": problem.line, "col": problem.column}
    shown = ",".join(f"{key}={_property(str(value))}" for key, value in place.items() if value)
    message = f"{problem.path}: {problem.message}" if problem.path else problem.message
    return f"::{_GITHUB[finding.level]} {shown}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
