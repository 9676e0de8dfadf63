"""Settings that are said beside a file, and count instead of what it says: `listener.address=:8091`.

A value is YAML, as in the file; what is no YAML is taken for text, since `[::1]:8091` is. A mapping or a list takes the
place of the file's own, whole. Its mistakes are told by its key alone: it has no line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from enforcer.config.document import NOWHERE, Document, Items, Table, parse
from enforcer.errors import ConfigError

_KEY: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


class Override(NamedTuple):
    """One setting: the keys that lead to it, and its value."""

    path: tuple[str, ...]
    value: Any


def parse_override(text: str) -> Override:
    """Read `key.of.setting=value`; raises ValueError."""
    key, sign, value = text.partition("=")
    if not sign or not _KEY.fullmatch(key):
        raise ValueError("expected KEY=VALUE, such as listener.address=:8091 or log.level=debug")
    return Override(tuple(key.split(".")), _read(value))


def override(document: Document, overrides: Iterable[Override]) -> None:
    """Put each where it belongs in a document that was just read."""
    for path, value in overrides:
        table = document.values
        for step in path[:-1]:
            inner = table.get(step)
            if inner is None:
                inner = Table()
                _put(table, step, inner)
            if not isinstance(inner, Table):
                # What stands there is a mistake, and will be told of.
                break
            table = inner
        else:
            _put(table, path[-1], value)


def _put(table: Table, key: str, value: Any) -> None:
    table[key] = value
    table.marks[key] = (NOWHERE, NOWHERE)


def _read(text: str) -> Any:
    try:
        document = parse("", b"value: " + text.encode("utf-8", "surrogateescape"))
    except ConfigError:
        return text
    if document.problems or len(document.values) != 1:
        return text
    return _placeless(document.values["value"])


def _placeless(value: Any) -> Any:
    """Take the places of what was read from no file."""
    if isinstance(value, Table):
        value.marks = dict.fromkeys(value, (NOWHERE, NOWHERE))
        for inner in value.values():
            _placeless(inner)
    elif isinstance(value, Items):
        value.marks = [NOWHERE] * len(value)
        for inner in value:
            _placeless(inner)
    return value
