"""Reads a file of policy tests, or reports all its errors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from enforcer.analysis.policy_tests import NO_TOKEN, PolicyTests
from enforcer.config.documents.document import Document, parse, show
from enforcer.config.documents.sources import read
from enforcer.config.schema import Shape, schema
from enforcer.config.validate.conflicts import duplicates
from enforcer.config.validate.messages import problems, suggestion
from enforcer.counters import NO_ROUTE
from enforcer.errors import ConfigError, Problem

MAX_BYTES: Final = 16 * 1024**2
"""Maximum size of a file, as of a configuration."""
ADAPTER: Final = TypeAdapter(PolicyTests)


def load_policy_tests(path: Path, rules: Collection[str]) -> tuple[PolicyTests, Document]:
    """Return tests of the rules with these names, and the document with their positions; raises ConfigError."""
    try:
        document = parse(str(path), read(path, MAX_BYTES))
    except ValueError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", str(error))]) from None
    errors = [*document.problems]
    try:
        cases = ADAPTER.validate_python(document.values)
    except ValidationError as error:
        errors += problems(error.errors(include_url=False), document, _shape)
    else:
        errors += _wrong_names(document, cases, rules)
        if not errors:
            return cases, document
    raise ConfigError(sorted(errors, key=lambda problem: (problem.line, problem.column)))


def _wrong_names(document: Document, cases: PolicyTests, rules: Collection[str]) -> Iterator[Problem]:
    """Yield a problem for each duplicate, reserved or unknown name."""
    if NO_TOKEN in cases.tokens:
        yield document.problem(("tokens",), f"{show(NO_TOKEN)} is reserved: choose another name", key=NO_TOKEN)
    yield from duplicates(document, {("tests", index): case.name for index, case in enumerate(cases.tests)})
    token_names, rule_names = [NO_TOKEN, *cases.tokens], [NO_ROUTE, *rules]
    for index, case in enumerate(cases.tests):
        if isinstance(case.token, str) and case.token not in token_names:
            message = f"no token is called {show(case.token)}; {suggestion(case.token, token_names)}"
            yield document.problem(("tests", index, "token"), message)
        if case.rule is not None and case.rule not in rule_names:
            message = f"no rule is called {show(case.rule)}; {suggestion(case.rule, rule_names)}"
            yield document.problem(("tests", index, "rule"), message)


@cache
def _shape() -> Shape:
    return Shape(schema(ADAPTER))
