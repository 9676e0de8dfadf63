"""Strict reading of JSON objects (RFC 8259): only what all parsers read alike is accepted.

A duplicate member is an error at any depth, since parsers differ in which of the two they use. So are NaN and
Infinity, numbers beyond the range of a double, and nesting deeper than any real claim.
"""

from __future__ import annotations

import codecs
import json
import math
from typing import Any, Final

from enforcer.errors import IntrospectionError, IntrospectionFailure

MAX_DEPTH: Final = 32
"""Deepest nesting of objects and lists; real claims nest at most five deep."""


def read_object(data: bytes, max_objects: int | None = None) -> dict[str, Any]:
    """Read a JSON object in UTF-8; raises ValueError, whose text contains none of the input.

    `max_objects` bounds the work for data from a client, since each object in it is checked.
    """
    if max_objects is not None and data.count(b"{") > max_objects:
        raise ValueError("too many objects")
    members = _decode(data)
    if members is None:
        raise ValueError("not a JSON object, or a member twice")
    # Few brackets cannot nest deeply, so almost no object needs the recursive check.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and not _is_shallow(members):
        raise ValueError("nested too deep")
    return members


def read_value(data: bytes) -> Any:
    """Read any JSON value, as a member of an object is read; raises ValueError, whose text has none of the input."""
    members = read_object(b'{"value":%b}' % data)
    if len(members) != 1:
        raise ValueError("not one JSON value")
    return members["value"]


def read_document(data: bytes, name: str) -> dict[str, Any]:
    """Read a JSON object from an authorization server; raises IntrospectionError (malformed), which names it."""
    try:
        return read_object(data)
    except ValueError as error:
        raise IntrospectionError(IntrospectionFailure.MALFORMED, f"{name}: {error}" if name else str(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number that is too large for a parser")
    return number


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_reject_constant, parse_float=_finite)


def _decode(data: bytes) -> dict[str, Any] | None:
    # None, because the decoder's error holds the input, and compiled code would keep it as the context of another one.
    try:
        members = _DECODER.decode(data.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def _is_shallow(members: dict[str, Any]) -> bool:
    level: list[Any] = [members]
    for _ in range(MAX_DEPTH):
        inner = [value.values() if isinstance(value, dict) else value for value in level]
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
        if not level:
            return True
    return False
