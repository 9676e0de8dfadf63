"""Counts the fields of a compressed field section (RFC 7541 §6) without decoding it. Pure.

The library takes some ten microseconds to decode a field, however short it is, and a byte is enough for one.
"""

from __future__ import annotations

from typing import Final

_MAX_SHIFT: Final = 28
"""A longer integer is larger than any section."""


def count_fields(section: bytes, most: int) -> int:
    """Return the number of fields and table updates in a section, or `most` + 1 if there are more.

    A section that is not valid is counted up to its fault, which the decoder finds.
    """
    count = position = 0
    size = len(section)
    while position < size and count <= most:
        first = section[position]
        count += 1
        if first & 0x80:  # indexed
            position = _skip(section, position, 0x7F)
            continue
        if first & 0xE0 == 0x20:  # a table update
            position = _skip(section, position, 0x1F)
            continue
        mask = 0x3F if first & 0x40 else 0x0F
        named = first & mask != 0
        position = _skip(section, position, mask)
        if not named:
            position = _skip_string(section, position)
        position = _skip_string(section, position)
    return count


def _skip(section: bytes, position: int, mask: int) -> int:
    """Return the position behind an integer whose prefix has the bits of `mask`."""
    size = len(section)
    if section[position] & mask != mask:
        return position + 1
    position += 1
    while position < size and section[position] & 0x80:
        position += 1
    return position + 1


def _skip_string(section: bytes, position: int) -> int:
    """Return the position behind a string."""
    size = len(section)
    if position >= size:
        return size
    length = section[position] & 0x7F
    position += 1
    if length == 0x7F:
        shift = 0
        while position < size:
            byte = section[position]
            position += 1
            length += (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
            if shift > _MAX_SHIFT:
                return size
    return position + length
