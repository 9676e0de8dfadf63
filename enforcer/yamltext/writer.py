"""Writes values as YAML in the style of Kubernetes' own examples, or on one line as JSON, which is valid YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from enforcer.yamltext.documents import resolve

_PLAIN: Final = re.compile(r"-{0,2}[A-Za-z0-9_/$](?:[A-Za-z0-9_./$:@+=~,-]*[A-Za-z0-9_./$@+=~-])?")
"""Text without blanks and YAML indicators: it needs no quotes unless it reads as another type."""
_CONTROL: Final = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff"
_LITERAL: Final = re.compile(rf"[^\s{_CONTROL}][^{_CONTROL}]*\n")
"""Text that a literal block can hold unescaped."""

_UNPRINTABLE: Final = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that JSON may hold unescaped, but YAML forbids (YAML 1.2 §5.1) or reads as the end of a line."""

INDENT: Final = 2
"""Spaces per level of nesting."""


def flow(value: Any) -> str:
    """Write a value on one line."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))


def scalar(value: Any) -> str:
    """Write a value other than a mapping or list with members, for block style."""
    if not isinstance(value, str):
        return flow(value)
    if _PLAIN.fullmatch(value) and isinstance(resolve(value), str):
        return value
    # JSON within JSON is easier to read between single quotes.
    return single_quoted(value) if '"' in value and value.isprintable() else flow(value)


def single_quoted(text: str) -> str:
    """Write printable text between single quotes."""
    return "'" + text.replace("'", "''") + "'"


def block(value: Any, offset: int = INDENT) -> Iterator[str]:
    """Yield the lines of a mapping or list with members; a list in a mapping is indented by `offset`."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from entry(key, member, offset)
    else:
        for member in value:
            yield from item(member, offset)


def entry(key: str, value: Any, offset: int = INDENT) -> Iterator[str]:
    """Yield the lines of one member of a mapping."""
    name = scalar(key)
    if isinstance(value, dict | list) and value:
        yield f"{name}:"
        yield from _indented(block(value, offset), offset if isinstance(value, list) else INDENT)
    elif isinstance(value, str) and "\n" in value and _LITERAL.fullmatch(value) and not value.endswith("\n\n"):
        yield f"{name}: |"
        yield from _indented(value.split("\n")[:-1], INDENT)
    else:
        yield f"{name}: {scalar(value)}"


def item(value: Any, offset: int = INDENT) -> Iterator[str]:
    """Yield the lines of one member of a list."""
    lines = block(value, offset) if isinstance(value, dict | list) and value else iter([scalar(value)])
    yield f"- {next(lines)}"
    yield from _indented(lines, INDENT)


def _indented(lines: Iterable[str], by: int) -> Iterator[str]:
    return (f"{' ' * by}{line}" if line else line for line in lines)


def document(value: dict[str, Any]) -> str:
    """Write a document, without a separator."""
    return "".join(f"{line}\n" for line in block(value))
