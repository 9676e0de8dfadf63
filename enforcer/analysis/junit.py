"""Writes the results of policy tests as JUnit XML, which CI systems display."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from enforcer.analysis.policy_tests import PolicyTestResult


@dataclass(frozen=True, slots=True)
class Suite:
    """The results of one file of tests; `lines` are the tests' lines in it."""

    file: str
    results: Sequence[PolicyTestResult]
    lines: Sequence[int]


def write(suites: Iterable[Suite]) -> str:
    """Return all suites as one document, ending in a line break."""
    root = Element("testsuites")
    for suite in suites:
        failed = sum(not result.passed for result in suite.results)
        below = SubElement(
            root, "testsuite", name=suite.file, tests=str(len(suite.results)), failures=str(failed), errors="0"
        )
        for result, line in zip(suite.results, suite.lines, strict=True):
            case = SubElement(
                below, "testcase", name=result.case.name, classname=suite.file, file=suite.file, line=str(line)
            )
            if not result.passed:
                message = "; ".join(str(difference) for difference in result.differences)
                SubElement(case, "failure", message=message).text = result.failure
    indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, encoding="unicode")}\n'
