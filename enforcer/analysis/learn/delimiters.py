"""Finds the delimiters that the segments of a path contain, encoded: `group%2Fname` is one segment to some apps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote_from_bytes

from enforcer.errors import MalformedRequestError
from enforcer.wire.target import read_path

_NAMES: Final = {
    b"/": "slash",
    b"\\": "backslash",
    b";": "semicolon",
    b"?": "question_mark",
    b"#": "hash",
    b"%": "percent",
}
_DELIMITER: Final = re.compile(rb"[/\\;?#%]")
_SENT: Final = re.compile(r"[;\\]")
_SEPARATOR: Final = re.compile(rb"[/\\]")


def has_delimiter(segment: bytes) -> bool:
    """Return whether a segment, decoded once, has a delimiter."""
    return _DELIMITER.search(segment) is not None


def kept_delimiters(path: str, segments: Sequence[bytes]) -> tuple[str, ...]:
    """Return what a rule's `encoded` must have for an ambiguous path; empty if that would not make it unambiguous.

    The segments are those of the path, decoded once. No key makes a path with dot segments pass, nor one with empty
    segments. A delimiter that was sent as it is, as in `/login;session=7`, is probably no part of an identifier.
    """
    if _SENT.search(path):
        return ()
    having = [segment for segment in segments if has_delimiter(segment)]
    if not having or not all(part.strip(b". ") for segment in having for part in _SEPARATOR.split(segment)):
        return ()
    plain = "/".join(["", *(quote_from_bytes(_DELIMITER.sub(b"-", segment)) for segment in segments)])
    try:
        _, ambiguous = read_path(plain.encode())
    except MalformedRequestError:
        return ()
    delimiters = {match for segment in having for match in _DELIMITER.findall(segment)}
    return () if ambiguous else tuple(name for delimiter, name in _NAMES.items() if delimiter in delimiters)
