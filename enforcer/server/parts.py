"""What configurations share: a thing is made once for settings that stay the same, and closed when nobody has it.

1. A configuration takes a thing by what it is made of. What is equal to that of a configuration that still runs is the
   same thing, with all that it remembers.
2. A thing is closed when the last configuration that took it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class Closable(Protocol):
    """What has something open, or does something of its own accord."""

    def close(self) -> None:
        """End that."""


class _Part:
    __slots__ = ("made_of", "thing", "users")

    def __init__(self, made_of: tuple[object, ...], thing: Any) -> None:
        self.made_of = made_of
        self.thing = thing
        self.users = 0


class Parts:
    """The things of all configurations that run."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def lease(self) -> Lease:
        """Begin another configuration."""
        return Lease(self._parts)


class Lease:
    """The things of one configuration, of all `parts`."""

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts
        self._taken: list[_Part] = []

    def take(self, kind: str, *made_of: object, make: Callable[[], T]) -> T:
        """Return the thing of a kind that is made of these; `make` makes it where there is none."""
        wanted = (kind, *made_of)
        for part in self._parts:
            if part.made_of == wanted:
                break
        else:
            part = _Part(wanted, make())
            self._parts.append(part)
        if part not in self._taken:
            self._taken.append(part)
            part.users += 1
        thing: T = part.thing
        return thing

    def newest(self, kind: str) -> Any:
        """Return the thing of a kind that was made last, None where there is none."""
        return next((part.thing for part in reversed(self._parts) if part.made_of[0] == kind), None)

    def end(self) -> None:
        """Give the things back: the configuration is over."""
        taken, self._taken = self._taken, []
        for part in taken:
            part.users -= 1
            if not part.users:
                self._parts.remove(part)
                if isinstance(part.thing, Closable):
                    part.thing.close()
