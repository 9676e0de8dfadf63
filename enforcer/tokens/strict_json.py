"""Strict reading of JSON objects (RFC 8259): only what all parsers read alike is accepted.

A duplicate member is an error at any depth, since parsers differ in which of the two they use. So are NaN and
Infinity, and nesting deeper than any real claim.
"""

from __future__ import annotations

import codecs
import json
from typing import Any, Final

MAX_DEPTH: Final = 32
"""Deepest nesting of objects and lists; real claims nest at most five deep."""


def read_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object in UTF-8; raises ValueError, whose text contains none of the input."""
    try:
        members = _DECODER.decode(data.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):
        raise ValueError("not JSON, or a member twice") from None
    if not isinstance(members, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the input is wrong, not the call
    # Few brackets cannot nest deeply, so almost no object needs the recursive check.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and not _is_shallow(members, MAX_DEPTH):
        raise ValueError("nested too deep")
    return members


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_reject_constant)


def _is_shallow(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(member, depth - 1) for member in inner)
