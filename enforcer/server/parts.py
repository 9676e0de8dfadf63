"""What configurations share: a thing is made once for settings that stay the same, and closed when nobody has it.

1. A configuration takes a thing by what it is made of. What is equal to that of a configuration that still runs is the
   same thing, with all that it remembers.
2. A thing is closed when the last configuration that took it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
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
        self._lock = Lock()

    def lease(self) -> Lease:
        """Begin another configuration."""
        return Lease(self._parts, self._lock)


class Lease:
    """The things of one configuration, of all `parts`; `lock` is held while one is found, or given back.

    One configuration at a time takes things, while another may end.
    """

    def __init__(self, parts: list[_Part], lock: Lock) -> None:
        self._parts = parts
        self._lock = lock
        self._taken: list[_Part] = []

    def take(self, kind: str, *made_of: object, make: Callable[[], T]) -> T:
        """Return the thing of a kind that is made of these; `make` makes it where there is none."""
        wanted = (kind, *made_of)
        part = self._find(wanted)
        if part is None:
            part = _Part(wanted, make())
            part.users = 1
            with self._lock:
                self._parts.append(part)
            self._taken.append(part)
        thing: T = part.thing
        return thing

    def _find(self, wanted: tuple[object, ...]) -> _Part | None:
        with self._lock:
            for part in self._parts:
                if part.made_of == wanted:
                    if part not in self._taken:
                        self._taken.append(part)
                        part.users += 1
                    return part
        return None

    def newest(self, kind: str) -> Any:
        """Return the thing of a kind that was made last, None where there is none."""
        with self._lock:
            return next((part.thing for part in reversed(self._parts) if part.made_of[0] == kind), None)

    def end(self) -> None:
        """Give the things back: the configuration is over."""
        taken, self._taken = self._taken, []
        unused: list[_Part] = []
        with self._lock:
            for part in taken:
                part.users -= 1
                if not part.users:
                    self._parts.remove(part)
                    unused.append(part)
        for part in unused:
            if isinstance(part.thing, Closable):
                part.thing.close()
