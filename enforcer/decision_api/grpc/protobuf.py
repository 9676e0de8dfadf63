"""The wire format of Protocol Buffers, as far as the decision API needs it: strict, and bounded by the message. Pure.

1. An unknown field is skipped, as the format requires. A known field with another wire type than its own is refused.
2. Groups, which nothing sends any more, and numbers that are cut short or too long are refused.
3. A single field that comes twice is refused: parsers differ in the one that they take.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from enforcer.errors import MalformedRequestError

VARINT: Final = 0
_I64: Final = 1
BYTES: Final = 2
_I32: Final = 5

_MAX_FIELDS: Final = 1024
"""Maximum number of fields of a message. Bounds work: a field may have no more than two bytes."""
_MAX_VARINT: Final = 10
"""Maximum number of bytes of a number of 64 bits."""


class Field(NamedTuple):
    """A field: its number, its wire type, and its value: `integer` of VARINT, `data` of BYTES."""

    number: int
    kind: int
    integer: int
    data: bytes


def read(message: bytes) -> list[Field]:
    """Return the fields of a message in order; raises MalformedRequestError if it is not one."""
    fields: list[Field] = []
    position, end = 0, len(message)
    while position < end:
        if len(fields) == _MAX_FIELDS:
            raise _malformed("too many fields")
        tag, position = _read_varint(message, position)
        number, kind = tag >> 3, tag & 7
        integer, data = 0, b""
        if not 0 < number < 1 << 29:
            raise _malformed("a field has no valid number")
        if kind == VARINT:
            integer, position = _read_varint(message, position)
        elif kind == BYTES:
            size, position = _read_varint(message, position)
            data = message[position : position + size]
            position += size
        elif kind == _I64:
            position += 8
        elif kind == _I32:
            position += 4
        else:
            raise _malformed("a group, or an unknown wire type")
        if position > end:
            raise _malformed("a field is cut short")
        fields.append(Field(number, kind, integer, data))
    return fields


def single(fields: list[Field], number: int) -> bytes:
    """Return the text, bytes or message of a field that comes once at most; empty if it is absent."""
    values = repeated(fields, number)
    if len(values) > 1:
        raise _malformed("a single field is repeated")
    return values[0] if values else b""


def repeated(fields: list[Field], number: int) -> list[bytes]:
    """Return the texts, bytes or messages of a field, in order."""
    values: list[bytes] = []
    for field in fields:
        if field.number == number:
            if field.kind != BYTES:
                raise _malformed("a field has the wire type of another one")
            values.append(field.data)
    return values


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(position, min(position + _MAX_VARINT, len(message))):
        byte = message[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, index + 1
        shift += 7
    raise _malformed("a number is cut short, or too long")


def _malformed(why: str) -> MalformedRequestError:
    return MalformedRequestError("message", why)


def integer(number: int, value: int) -> bytes:
    """Return a field with a number that is not negative; none if it is 0, which is the default."""
    return _varint(number << 3 | VARINT) + _varint(value) if value else b""


def text(number: int, value: bytes) -> bytes:
    """Return a field with text or bytes; also if they are empty."""
    return _varint(number << 3 | BYTES) + _varint(len(value)) + value


message = text
"""Return a field with a message."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
