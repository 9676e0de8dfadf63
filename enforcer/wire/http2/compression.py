"""Compresses and decompresses field sections (HPACK, RFC 7541), within limits. Pure.

The library's own coders are interpreted, and search the whole table for each field: they would take half of the time of
a gRPC call. Of the library, only the table of static fields and that of the Huffman code are used.
"""

from __future__ import annotations

from typing import Final

from hpack.exceptions import HPACKDecodingError, OversizedHeaderListError
from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE
from hpack.table import HeaderTable

from enforcer.wire.http2.fields import FieldList

Field = tuple[bytes, bytes]
"""Name and value."""

TABLE: Final = 4096
"""Maximum bytes of a dynamic table, whatever the peer permits (RFC 7541 §4.1). Bounds memory."""
_OVERHEAD: Final = 32
"""Bytes that a field counts for, beside its name and value (RFC 7541 §4.1)."""
_MAX_SHIFT: Final = 21
"""A longer integer is larger than any section, table or index."""

_STATIC: Final[list[Field]] = [(name, value) for name, value in HeaderTable.STATIC_TABLE]
_FIRST: Final = len(_STATIC) + 1
"""The index of the newest field of the dynamic table (RFC 7541 §2.3.3)."""
_STATIC_FIELDS: Final[dict[Field, int]] = {field: index for index, field in enumerate(_STATIC, 1)}
_STATIC_NAMES: Final[dict[bytes, int]] = {field[0]: index for index, field in reversed(list(enumerate(_STATIC, 1)))}

# The representations of a field (RFC 7541 §6): the bits in front of an integer, and the mask of the integer's bits.
_INDEXED: Final = 0x80
_INDEXED_MASK: Final = 0x7F
_ADDED: Final = 0x40
_ADDED_MASK: Final = 0x3F
_RESIZED: Final = 0x20
_RESIZED_MASK: Final = 0x1F
_NEVER_INDEXED: Final = 0x10
_LITERAL_MASK: Final = 0x0F
_HUFFMAN: Final = 0x80
_LENGTH_MASK: Final = 0x7F

_SECRET: Final = frozenset(
    b"authorization cookie set-cookie dpop dpop-nonce www-authenticate authentication-info "
    b"sec-websocket-key sec-websocket-protocol".split()
)
"""Fields that are never put into the table of repeated fields, nor by a proxy behind this connection: with a table that
others share, values can be guessed (RFC 7541 §7.1). A subprotocol may be a token."""

_STEPS: Final[list[tuple[int, int, int]]] = list(HUFFMAN_TABLE)
"""The Huffman code: for a state and four bits, the next state, flags, and the byte that is complete."""
_FAIL: Final = int(HUFFMAN_FAIL)
_EMIT: Final = int(HUFFMAN_EMIT_SYMBOL)
_COMPLETE: Final = int(HUFFMAN_COMPLETE)

_BYTES: Final = [bytes([value]) for value in range(256)]


class FieldEncoder:
    """Compresses the field sections of one direction of a connection.

    Values are written as they are: RFC 7541 §5.2 leaves the Huffman code to the sender, and it would take longer than
    the rest of a section.
    """

    def __init__(self) -> None:
        self._entries: list[Field] = []  # of the dynamic table, oldest first
        self._fields: dict[Field, int] = {}  # the entries, and how many were added before each
        self._names: dict[bytes, int] = {}  # and the newest of each name
        self._added = 0  # entries in all, evicted ones included
        self._size = 0
        self._limit = TABLE
        self._announced = TABLE  # the limit that the peer knows
        self._smallest = TABLE  # of the limits since the last section

    @property
    def header_table_size(self) -> int:
        """The maximum size of the dynamic table, by the name that the library gives it."""
        return self._limit

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self._limit = min(value, TABLE)
        self._smallest = min(self._smallest, self._limit)
        self._evict()

    def encode(self, fields: FieldList) -> bytes:
        """Return the compressed form of a field section."""
        block: list[bytes] = []
        if self._smallest != self._announced or self._limit != self._announced:
            self._announce(block)
        for field in fields:
            index = _STATIC_FIELDS.get(field, 0)
            if not index:
                number = self._fields.get(field, -1)
                if number >= 0:
                    index = _FIRST + self._added - 1 - number
            if index:
                block.append(_integer(index, _INDEXED, _INDEXED_MASK))
            else:
                self._write_literal(block, field)
        return b"".join(block)

    def _write_literal(self, block: list[bytes], field: Field) -> None:
        name, value = field
        index = _STATIC_NAMES.get(name, 0)
        if not index:
            number = self._names.get(name, -1)
            if number >= 0:
                index = _FIRST + self._added - 1 - number
        if name in _SECRET:
            block.append(_integer(index, _NEVER_INDEXED, _LITERAL_MASK))
        else:
            block.append(_integer(index, _ADDED, _ADDED_MASK))
            self._add(field)
        if not index:
            block.append(_integer(len(name), 0, _LENGTH_MASK))
            block.append(name)
        block.append(_integer(len(value), 0, _LENGTH_MASK))
        block.append(value)

    def _add(self, field: Field) -> None:
        self._entries.append(field)
        self._fields[field] = self._names[field[0]] = self._added
        self._added += 1
        self._size += len(field[0]) + len(field[1]) + _OVERHEAD
        self._evict()

    def _evict(self) -> None:
        """Remove the oldest entries, as the peer does (RFC 7541 §4.3, §4.4)."""
        while self._size > self._limit:
            number = self._added - len(self._entries)
            field = self._entries.pop(0)
            self._size -= len(field[0]) + len(field[1]) + _OVERHEAD
            if self._fields.get(field, -1) == number:
                self._fields.pop(field)
            if self._names.get(field[0], -1) == number:
                self._names.pop(field[0])

    def _announce(self, block: list[bytes]) -> None:
        """Write the changes of the limit: the smallest, for which the peer evicts entries, and the last (§4.2)."""
        if self._smallest < self._limit:
            block.append(_integer(self._smallest, _RESIZED, _RESIZED_MASK))
        block.append(_integer(self._limit, _RESIZED, _RESIZED_MASK))
        self._announced = self._smallest = self._limit


class FieldDecoder:
    """Decompresses the field sections of one direction of a connection.

    `size`: the largest section, counted as RFC 9113 §6.5.2 does. `count`: the most fields of a section.
    """

    def __init__(self, size: int, count: int) -> None:
        self._most_bytes = size
        self._most_fields = count
        self._entries: list[Field] = []  # of the dynamic table, oldest first
        self._size = 0
        self._limit = TABLE

    def decode(self, block: bytes, raw: bool = True) -> FieldList:
        """Return the fields of a section; the library asks for `raw` ones, as they always are.

        Raises OversizedHeaderListError if the section exceeds the limits, and HPACKDecodingError if it is not valid.
        The table is of no more use after either.
        """
        fields: FieldList = []
        position = size = updates = 0
        end = len(block)
        while position < end:
            first = block[position]
            if first & _INDEXED:
                index, position = _read_integer(block, position, _INDEXED_MASK)
                field = self._entry(index)
            elif first & _ADDED:
                field, position = self._read_literal(block, position, _ADDED_MASK)
                self._add(field)
            elif first & _RESIZED:
                if fields:
                    raise HPACKDecodingError("a table update behind a field")
                limit, position = _read_integer(block, position, _RESIZED_MASK)
                self._resize(limit)
                updates += 1
                if updates > self._most_fields:
                    raise OversizedHeaderListError("too many table updates")
                continue
            else:
                field, position = self._read_literal(block, position, _LITERAL_MASK)
            size += len(field[0]) + len(field[1]) + _OVERHEAD
            fields.append(field)
            if size > self._most_bytes or len(fields) > self._most_fields:
                raise OversizedHeaderListError("the section is too large, or has too many fields")
        return fields

    def _entry(self, index: int) -> Field:
        if 0 < index < _FIRST:
            return _STATIC[index - 1]
        position = len(self._entries) - 1 - (index - _FIRST)
        if index == 0 or position < 0:
            raise HPACKDecodingError("no such field")
        return self._entries[position]

    def _read_literal(self, block: bytes, position: int, mask: int) -> tuple[Field, int]:
        """Return the field at a position, whose name is an index of the bits of `mask`, or follows; and its end."""
        index, position = _read_integer(block, position, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _read_string(block, position)
        value, position = _read_string(block, position)
        return (name, value), position

    def _add(self, field: Field) -> None:
        self._entries.append(field)
        self._size += len(field[0]) + len(field[1]) + _OVERHEAD
        self._evict()

    def _resize(self, limit: int) -> None:
        if limit > TABLE:
            raise HPACKDecodingError("the table is larger than was permitted")
        self._limit = limit
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._entries.pop(0)
            self._size -= len(name) + len(value) + _OVERHEAD


def _integer(value: int, bits: int, mask: int) -> bytes:
    """Return an integer in the bits of `mask` and, if it is larger, in further bytes (RFC 7541 §5.1)."""
    if value < mask:
        return _BYTES[bits | value]
    encoded = bytearray((bits | mask,))
    value -= mask
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """Return the integer at a position, which begins in the bits of `mask`, and its end (RFC 7541 §5.1)."""
    end = len(block)
    if position >= end:
        raise HPACKDecodingError("a field is cut short")
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift = 0
    while position < end and shift <= _MAX_SHIFT:
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
    raise HPACKDecodingError("an integer is cut short, or too long")


def _read_string(block: bytes, position: int) -> tuple[bytes, int]:
    """Return the string at a position, and its end (RFC 7541 §5.2)."""
    length, start = _read_integer(block, position, _LENGTH_MASK)
    end = start + length
    if end > len(block):
        raise HPACKDecodingError("a string is cut short")
    data = block[start:end]
    return (_decode_huffman(data) if block[position] & _HUFFMAN else data), end


def _decode_huffman(data: bytes) -> bytes:
    """Return a string that is in the Huffman code (RFC 7541 §5.2, Appendix B)."""
    decoded: list[int] = []
    state, flags = 0, _COMPLETE
    for byte in data:
        for bits in (byte >> 4, byte & 0x0F):
            state, flags, symbol = _STEPS[state * 16 + bits]
            if flags & _FAIL:
                raise HPACKDecodingError("a string is not in the Huffman code")
            if flags & _EMIT:
                decoded.append(symbol)
    if not flags & _COMPLETE:
        raise HPACKDecodingError("a string ends in the middle of a code")
    return bytes(decoded)
