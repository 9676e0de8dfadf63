"""A secret of the configuration. The YAML names its file or environment variable; its value is shown nowhere."""

from __future__ import annotations

from hmac import compare_digest
from typing import final


@final
class Secret:
    """A string that no log, error or `repr` shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value. Call this only where the value is sent or compared."""
        return self._value

    def __eq__(self, other: object) -> bool:
        # In constant time, because a reload compares settings and its duration must not reveal how much matches.
        return isinstance(other, Secret) and compare_digest(_bytes(self._value), _bytes(other._value))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(***)"


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
