"""Overrides: settings given on the command line, such as `listener.address=:8091`, that replace those of the file.

A value is YAML, as in the file; a value that is not valid YAML is text, because `[::1]:8091` is not valid. A mapping or
list replaces the file's whole mapping or list; a number in the key names an item of a list, from 0 (`rules.0.public`).
Errors name only the key, because an override has no line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from enforcer.config.documents.document import NOWHERE, Document, Items, Table, parse, show
from enforcer.errors import ConfigError, Problem

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


def override(document: Document, overrides: Iterable[Override]) -> list[Problem]:
    """Set each override in a document, in order; return the problems of those whose key leads nowhere."""
    problems = []
    for path, value in overrides:
        fault = _set(document.values, path, value)
        if fault is not None:
            problems.append(Problem(document.file, 0, 0, ".".join(path), f"cannot be overridden: {fault}"))
    return problems


def _set(table: Table, path: Sequence[str], value: Any) -> str | None:
    """Set one value; return why its key leads nowhere, or None."""
    container: Table | Items = table
    for index, key in enumerate(path):
        step: Any = key
        if isinstance(container, Items):
            if not (key.isascii() and key.isdecimal() and int(key) < len(container)):
                return f"{'.'.join(path[:index])} is a list of {len(container)}, counted from 0, without an item {key}"
            step = int(key)
        if index + 1 == len(path):
            _put(container, step, value)
            break
        inner = container[step] if isinstance(container, Items) else container.get(step)
        if inner is None:
            inner = Table()
            _put(container, step, inner)
        elif isinstance(inner, Table | Items):
            # A copy, because the same mapping or list may occur elsewhere in the file as an alias.
            inner = container[step] = inner.copy()
        else:
            return f"{'.'.join(path[: index + 1])} is {show(inner)}, not a mapping or list"
        container = inner
    return None


def _put(container: Table | Items, step: Any, value: Any) -> None:
    container[step] = value
    container.marks[step] = (NOWHERE, NOWHERE) if isinstance(container, Table) else NOWHERE


def _parse_value(text: str) -> Any:
    try:
        document = parse("", b"value: " + text.encode("utf-8", "surrogateescape"))
    except ConfigError:
        return text
    if document.problems or len(document.values) != 1:
        return text
    return document.values["value"]
