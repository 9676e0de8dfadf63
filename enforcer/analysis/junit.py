"""Writes the results of policy tests as JUnit XML, which CI systems display."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from enforcer.analysis.policy_tests import PolicyTestResult

_NOT_XML: Final = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that no XML document can have, not even as a reference (XML 1.0 §2.2)."""


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
            root, "testsuite", name=_xml(suite.file), tests=str(len(suite.results)), failures=str(failed), errors="0"
        )
        for result, line in zip(suite.results, suite.lines, strict=True):
            case = SubElement(
                below,
                "testcase",
                name=_xml(result.case.name),
                classname=_xml(suite.file),
                file=_xml(suite.file),
                line=str(line),
            )
            if not result.passed:
                message = "; ".join(str(difference) for difference in result.differences)
                SubElement(case, "failure", message=_xml(message)).text = _xml(result.failure)
    indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, encoding="unicode")}\n'


def _xml(text: str) -> str:
    return _NOT_XML.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)
