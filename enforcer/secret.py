"""A secret of the configuration: named in the YAML by where it is kept, and shown nowhere."""

from __future__ import annotations

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

    def __repr__(self) -> str:
        return "Secret(***)"
