"""Reads a configuration whole, or tells of all its mistakes."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from enforcer.config.conflicts import conflicts
from enforcer.config.document import Document, parse
from enforcer.config.messages import problems
from enforcer.config.model import Config, adapter
from enforcer.config.overrides import Override, override
from enforcer.config.schema import shape
from enforcer.config.sources import Files, Signature, Sources, read
from enforcer.errors import ConfigError, Problem
from enforcer.policy.rules import Rule

MOST_BYTES: Final = 16 * 1024**2
"""Size of a configuration at most, some 100,000 rules. Bounds memory and the time of a reload."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the hash of its file, and every file that it was made from, as it was found then."""

    config: Config
    hash: str
    files: Mapping[Path, Signature]


def load(path: Path, environment: Mapping[str, str], overrides: Sequence[Override] = ()) -> Loaded:
    """Read a configuration, with what is said beside it; raises ConfigError with all its mistakes, by line."""
    return load_with_places(path, environment, overrides)[0]


def load_with_places(
    path: Path,
    environment: Mapping[str, str] | None,
    overrides: Sequence[Override] = (),
    files: Files | None = None,
) -> tuple[Loaded, Document]:
    """Read a configuration as `load` does, and return it with what knows where its parts stand.

    Without an environment its secrets are left where they are: to look at a policy, none is needed. Every file that is
    looked at goes into `files`, where that is given, whatever comes of it.
    """
    sources = Sources(path.parent, environment, {} if files is None else files)
    try:
        data = read(sources.note(path), MOST_BYTES)
    except ValueError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", str(error))]) from None
    with _uncollected():
        document = parse(str(path), data)
        override(document, overrides)
        config = _read(document, sources)
    return Loaded(config, sha256(data).hexdigest()[:16], sources.files), document


def _read(document: Document, sources: Sources) -> Config:
    errors: list[ErrorDetails] = []
    try:
        config = adapter().validate_python(document.values, context=sources)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        rules = _readable(document.values.get("rules"), errors)
    else:
        rules = dict(enumerate(config.rules))
    found = [*document.problems, *problems(errors, document, shape), *conflicts(document, rules)]
    if found:
        raise ConfigError(sorted(found, key=lambda problem: (problem.line, problem.column)))
    return config


def _readable(rules: Any, errors: Iterable[ErrorDetails]) -> dict[int, Rule]:
    if not isinstance(rules, list):
        return {}
    wrong = {error["loc"][1] for error in errors if error["loc"][0] == "rules" and len(error["loc"]) > 1}
    one = TypeAdapter(Rule)
    return {at: one.validate_python(rule) for at, rule in enumerate(rules) if at not in wrong}


@contextmanager
def _uncollected() -> Iterator[None]:
    # The collector would walk the growing values again and again and find nothing: a third of the time of a load.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
