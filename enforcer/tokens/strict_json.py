"""JSON objects that others wrote (RFC 8259): read in the one way that all readers share, or not at all.

A member that stands twice is an error at any depth, since parsers differ in which of the two they see; so is a number
that is none, and what is nested deeper than anybody means.
"""

from __future__ import annotations

import codecs
import json
from typing import Any, Final

MOST_NESTED: Final = 32
"""How deep objects and lists may stand in one another; claims that people write stand at most five deep."""


def read_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object in UTF-8; raises ValueError, whose text shows nothing of what was read."""
    try:
        members = _DECODER.decode(data.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):
        raise ValueError("not JSON, or a member twice") from None
    if not isinstance(members, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - what was read is wrong, not how this was called
    # Few brackets cannot be nested deep, which spares almost all objects the walk.
    if data.count(b"{") + data.count(b"[") > MOST_NESTED and not _is_shallow(members, MOST_NESTED):
        raise ValueError("nested too deep")
    return members


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _is_shallow(value: Any, most: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return most > 0 and all(_is_shallow(member, most - 1) for member in inner)
