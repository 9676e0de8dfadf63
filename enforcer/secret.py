"""A secret of the configuration: named in the YAML by where it is kept, and shown nowhere."""

from __future__ import annotations

from hmac import compare_digest
from typing import final


@final
class Secret:
    """A value that no log, error or `repr` shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value; call it where it is sent, and nowhere else."""
        return self._value

    def __eq__(self, other: object) -> bool:
        # In a time that does not show where they differ, so that a comparison of settings tells nothing either.
        return isinstance(other, Secret) and compare_digest(_bytes(self._value), _bytes(other._value))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(***)"


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
