"""Reads a configuration whole, or tells of all its mistakes."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from enforcer.config.document import parse
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config, adapter
from enforcer.config.overrides import Override, override
from enforcer.config.rule_files import MOST_BYTES, RuleFiles
from enforcer.config.schema import shape
from enforcer.config.sources import Files, Signature, Sources, read
from enforcer.config.validate.conflicts import conflicts
from enforcer.config.validate.messages import problems
from enforcer.config.validate.partial import PartialValidation
from enforcer.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the hash of what its files say, and every file that it was made from, as it was found then."""

    config: Config
    hash: str
    files: Mapping[Path, Signature]


def load(path: Path, environment: Mapping[str, str], overrides: Sequence[Override] = ()) -> Loaded:
    """Read a configuration, with what is said beside it; raises ConfigError with all its mistakes, by line."""
    return load_with_document(path, environment, overrides)[0]


def load_with_document(
    path: Path,
    environment: Mapping[str, str] | None,
    overrides: Sequence[Override] = (),
    files: Files | None = None,
) -> tuple[Loaded, MergedDocument]:
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
        main = parse(str(path), data)
        override(main, overrides)
        beside = RuleFiles(main, path, len(data), sources)
        whole = MergedDocument(main, beside.documents)
        config = _read(whole, beside.problems, sources)
    return Loaded(config, _hash(data, beside.data), sources.files), whole


def _hash(data: bytes, others: Iterable[bytes]) -> str:
    """Name what the files say: of one alone, as `sha256sum` would; each of others adds the digest of its own."""
    digest = sha256(data)
    for other in others:
        digest.update(sha256(other).digest())
    return digest.hexdigest()[:16]


def _read(whole: MergedDocument, problems_beside: Sequence[Problem], sources: Sources) -> Config:
    errors: list[ErrorDetails] = []
    faults: Iterable[Problem] = ()
    try:
        config = adapter().validate_python(whole.values, context=sources)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        mended = PartialValidation(whole.values.get("rules"), errors)
        rules = mended.rules
        faults = (whole.problem(way, text) for way, text in mended.faults)
    else:
        rules = dict(enumerate(config.rules))
    known = [*problems_beside, *whole.problems, *problems(errors, whole, shape), *faults]
    found = [*known, *conflicts(whole, rules, complete=not problems_beside)]
    if found:
        raise ConfigError(sorted(found, key=whole.order))
    return config


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
