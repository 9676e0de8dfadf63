"""Reads a file of policy tests, or tells of all its mistakes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from enforcer.analysis.policy_tests import NO_TOKEN, Cases
from enforcer.config.document import Document, parse, show
from enforcer.config.schema import Shape
from enforcer.config.sources import read
from enforcer.config.validate.conflicts import duplicates
from enforcer.config.validate.messages import problems, suggestion
from enforcer.counters import NO_ROUTE
from enforcer.errors import ConfigError, Problem

MOST_BYTES: Final = 16 * 1024**2
"""Size of a file at most, as of a configuration."""


def load_cases(path: Path, rules: Collection[str]) -> tuple[Cases, Document]:
    """Read tests for the rules of these names, with what knows where they stand; raises ConfigError."""
    try:
        document = parse(str(path), read(path, MOST_BYTES))
    except ValueError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", str(error))]) from None
    found = [*document.problems]
    try:
        cases = _adapter().validate_python(document.values)
    except ValidationError as error:
        found += problems(error.errors(include_url=False), document, _shape)
    else:
        found += _unknown(document, cases, rules)
        if not found:
            return cases, document
    raise ConfigError(sorted(found, key=lambda problem: (problem.line, problem.column)))


def _unknown(document: Document, cases: Cases, rules: Collection[str]) -> Iterator[Problem]:
    """Tell of names that stand for nothing, or for two things."""
    if NO_TOKEN in cases.tokens:
        yield document.problem(("tokens",), f"{show(NO_TOKEN)} is no token: choose another name", key=NO_TOKEN)
    yield from duplicates(document, {("tests", at): case.name for at, case in enumerate(cases.tests)})
    tokens, names = [NO_TOKEN, *cases.tokens], [NO_ROUTE, *rules]
    for at, case in enumerate(cases.tests):
        if isinstance(case.token, str) and case.token not in tokens:
            message = f"no token is called {show(case.token)}; {suggestion(case.token, tokens)}"
            yield document.problem(("tests", at, "token"), message)
        if case.rule is not None and case.rule not in names:
            yield document.problem(
                ("tests", at, "rule"), f"no rule is called {show(case.rule)}; {suggestion(case.rule, names)}"
            )


@cache
def _adapter() -> TypeAdapter[Cases]:
    return TypeAdapter(Cases)


@cache
def _shape() -> Shape:
    schema: Mapping[str, Any] = _adapter().json_schema()
    return Shape(schema)
