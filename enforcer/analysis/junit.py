"""The outcomes of policy tests as JUnit XML, which CI systems show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from enforcer.analysis.policy_tests import Outcome


@dataclass(frozen=True, slots=True)
class Suite:
    """A file of tests that were run; `lines` are where they stand in it."""

    file: str
    outcomes: Sequence[Outcome]
    lines: Sequence[int]


def write(suites: Iterable[Suite]) -> str:
    """Write all suites as one document, ending in a line break."""
    root = Element("testsuites")
    for suite in suites:
        failed = sum(not one.passed for one in suite.outcomes)
        below = SubElement(
            root, "testsuite", name=suite.file, tests=str(len(suite.outcomes)), failures=str(failed), errors="0"
        )
        for one, line in zip(suite.outcomes, suite.lines, strict=True):
            case = SubElement(
                below, "testcase", name=one.case.name, classname=suite.file, file=suite.file, line=str(line)
            )
            if not one.passed:
                message = "; ".join(f"{it.what}: expected {it.expected}, got {it.got}" for it in one.differences)
                SubElement(case, "failure", message=message).text = one.failure
    indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, encoding="unicode")}\n'
