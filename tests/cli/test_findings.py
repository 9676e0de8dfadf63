"""Findings as text, as JSON, and as GitHub's workflow commands."""

import json

import pytest

from enforcer.cli.policy.check import Finding, as_github, as_json, as_text
from enforcer.errors import Problem

NOTE = Finding("note", "public", Problem("a,b.yaml", 3, 5, "rules[0]", "100 % open:\nall"))
ERROR = Finding("error", "mistake", Problem("config.yaml", 0, 0, "", "cannot be read"))


@pytest.mark.parametrize(
    ("finding", "text"),
    [(NOTE, "a,b.yaml:3:5: note: rules[0]: 100 % open:\nall"), (ERROR, "config.yaml: cannot be read")],
)
def test_text_is_one_line(finding: Finding, text: str) -> None:
    """With its place, if it has one."""
    assert as_text(finding) == text


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (NOTE, "::notice file=a%2Cb.yaml,line=3,col=5::rules[0]: 100 %25 open:%0Aall"),
        (ERROR, "::error file=config.yaml::cannot be read"),
    ],
)
def test_github_gets_an_escaped_workflow_command(finding: Finding, text: str) -> None:
    """No text in it can end the command or start another one."""
    assert as_github(finding) == text


def test_json_is_one_object() -> None:
    """With the given members, and the members of each finding."""
    assert json.loads(as_json([ERROR], {"usable": False})) == {
        "usable": False,
        "findings": [
            {
                "level": "error",
                "code": "mistake",
                "file": "config.yaml",
                "line": 0,
                "column": 0,
                "path": "",
                "message": "cannot be read",
            }
        ],
    }
