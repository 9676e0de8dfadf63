"""Loads a configuration with all its files, or reports all its errors at once."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from enforcer.config.documents.document import parse
from enforcer.config.documents.rule_files import MAX_BYTES, RuleFiles
from enforcer.config.documents.sources import Files, Signature, Sources, read
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import ADAPTER, Config
from enforcer.config.overrides import Override, override
from enforcer.config.schema import shape
from enforcer.config.validate.conflicts import conflicts
from enforcer.config.validate.messages import problems
from enforcer.config.validate.partial import PartialValidation
from enforcer.config.validate.resources import resource_conflicts
from enforcer.errors import MAX_PROBLEMS, ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the hash of its files' contents, and the signature of each file when it was read."""

    config: Config
    hash: str
    files: Mapping[Path, Signature]


def load(path: Path, environment: Mapping[str, str], overrides: Sequence[Override] = ()) -> Loaded:
    """Load a configuration with overrides applied; raises ConfigError with all errors, in order of line."""
    return load_with_document(path, environment, overrides)[0]


def load_with_document(
    path: Path, environment: Mapping[str, str] | None, overrides: Sequence[Override] = (), files: Files | None = None
) -> tuple[Loaded, MergedDocument]:
    """Load a configuration as `load` does, and return it with the document that knows the position of each value.

    Without an environment, secrets are not read and are empty: analysing a policy needs none. If `files` is given, each
    file that is read is added to it, also if loading fails.
    """
    sources = Sources(path.parent, environment, {} if files is None else files)
    try:
        data = read(sources.note(path), MAX_BYTES)
    except ValueError as error:
        raise ConfigError([Problem(str(path), 0, 0, "", str(error))]) from None
    with _garbage_collection_paused():
        main = parse(str(path), data)
        override_problems = override(main, overrides)
        rule_files = RuleFiles(main, path, len(data), sources)
        document = MergedDocument(main, rule_files.documents)
        config = _validate(document, rule_files.problems, override_problems, sources)
    return Loaded(config, _hash(data, rule_files.data), sources.files), document


def _hash(data: bytes, others: Iterable[bytes]) -> str:
    """Return a hash of the files' contents: that of `sha256sum` for one file; each other file adds its own digest."""
    digest = sha256(data)
    for other in others:
        digest.update(sha256(other).digest())
    return digest.hexdigest()[:16]


def _validate(
    document: MergedDocument,
    rule_file_problems: Sequence[Problem],
    override_problems: Sequence[Problem],
    sources: Sources,
) -> Config:
    errors: list[ErrorDetails] = []
    more: Iterable[Problem] = ()
    try:
        config = ADAPTER.validate_python(document.values, context=sources)
    except ValidationError as error:
        if error.error_count() > _MAX_DETAILS:
            errors = _first_errors(document.values, sources)
            more = [document.problem((), f"{error.error_count()} errors, so that this is probably not a configuration")]
        else:
            errors = error.errors(include_url=False)
            partial = PartialValidation(document.values.get("rules"), errors)
            hidden = (document.problem(path, message) for path, message in partial.faults)
            more = chain(hidden, conflicts(document, partial.rules, complete=not rule_file_problems))
    else:
        more = chain(
            conflicts(document, dict(enumerate(config.rules)), complete=not rule_file_problems),
            resource_conflicts(config, document),
        )
    all_problems = [*rule_file_problems, *override_problems, *document.problems, *problems(errors, document, shape)]
    all_problems += islice(more, MAX_PROBLEMS + 1)  # of many equal rules each is an error
    if all_problems:
        raise ConfigError(sorted(all_problems, key=document.order))
    return config


_MAX_DETAILS: Final = 1000
"""Maximum number of errors whose details are made: they take a kilobyte each."""


def _first_errors(values: Mapping[str, Any], sources: Sources) -> list[ErrorDetails]:
    """Return errors of the first values. That a key is missing is not one: it may be among the others."""
    try:
        ADAPTER.validate_python(_first(values, [_MAX_DETAILS]), context=sources)
    except ValidationError as error:
        return [details for details in error.errors(include_url=False) if details["type"] != "missing"]
    return []


def _first(value: Any, left: list[int]) -> Any:
    """Return a copy of the first `left[0]` values."""
    if isinstance(value, dict):
        return {key: _first(member, left) for key, member in takewhile(lambda _: _take(left), value.items())}
    if isinstance(value, list):
        return [_first(member, left) for member in takewhile(lambda _: _take(left), value)]
    return value


def _take(left: list[int]) -> bool:
    left[0] -= 1
    return left[0] >= 0


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    # The collector would walk the growing values again and again without freeing any: a third of the load time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
