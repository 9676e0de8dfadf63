"""Overrides: settings given on the command line, such as `listener.address=:8091`, that replace those of the file.

A value is YAML, as in the file; a value that is not valid YAML is text, because `[::1]:8091` is not valid. A mapping or
list replaces the file's whole mapping or list. Errors name only the key, because an override has no line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from enforcer.config.document import NOWHERE, Document, Table, parse
from enforcer.errors import ConfigError

_KEY: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


class Override(NamedTuple):
    """One setting: the keys that lead to it, and its value."""

    path: tuple[str, ...]
    value: Any


def parse_override(text: str) -> Override:
    """Parse `key.of.setting=value`; raises ValueError."""
    key, equals, value = text.partition("=")
    if not equals or not _KEY.fullmatch(key):
        raise ValueError("expected KEY=VALUE, such as listener.address=:8091 or log.level=debug")
    return Override(tuple(key.split(".")), _parse_value(value))


def override(document: Document, overrides: Iterable[Override]) -> None:
    """Set each override in a document, in order."""
    for path, value in overrides:
        table = document.values
        for key in path[:-1]:
            inner = table.get(key)
            if inner is None:
                inner = Table()
                _set(table, key, inner)
            if not isinstance(inner, Table):
                # The file has no mapping here: validation reports that error.
                break
            table = inner
        else:
            _set(table, path[-1], value)


def _set(table: Table, key: str, value: Any) -> None:
    table[key] = value
    table.marks[key] = (NOWHERE, NOWHERE)


def _parse_value(text: str) -> Any:
    try:
        document = parse("", b"value: " + text.encode("utf-8", "surrogateescape"))
    except ConfigError:
        return text
    if document.problems or len(document.values) != 1:
        return text
    return document.values["value"]
