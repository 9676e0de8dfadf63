"""Equal values as one object: most tokens have the scopes, the client and the issuer of many others.

Bounded in bytes: a full table begins again, and a large value is not shared.
"""

from __future__ import annotations

from sys import getsizeof
from typing import Final, TypeVar

T = TypeVar("T")

_MAX_VALUE: Final = 2048
"""Bytes of a value that is shared. A larger one is hardly ever that of another token."""
_SLOT: Final = 112
"""Bytes of an entry of the table, besides key and value."""


class SharedValues:
    """A table of values that occur in many tokens, of at most `max_bytes` in all."""

    __slots__ = ("_max_bytes", "_values", "size")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes: Final = max_bytes
        self._values: dict[object, object] = {}
        self.size = 0
        """Bytes of the table and its values."""

    def share(self, key: object, value: T, size: int) -> tuple[T, int]:
        """Return an equal value from the table, and the bytes that it costs its user: none if the table has it.

        Values are equal if their keys are. `size` is that of key and value, in bytes.
        """
        known = self._values.get(key)
        if known is not None:
            return known, 0  # type: ignore[return-value] # equal keys have values of one type
        size += _SLOT
        if size > _MAX_VALUE:
            return value, size
        if self.size + size > self._max_bytes:
            self._values = {}
            self.size = 0
        self._values[key] = value
        self.size += size
        return value, 0


def size_of(value: object) -> int:
    """Return the bytes of a JSON value, as CPython stores it."""
    size = getsizeof(value)
    if isinstance(value, dict):
        for name, member in value.items():
            size += getsizeof(name) + size_of(member)
    elif isinstance(value, list):
        for member in value:
            size += size_of(member)
    elif isinstance(value, frozenset):
        for member in value:
            size += getsizeof(member)
    return size
