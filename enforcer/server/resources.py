"""Resources that configurations share: pools, caches, verifiers. Each is built once and closed after its last user.

1. Resources are keyed by the settings they are built from. A reload reuses a running resource, state included, if its
   settings are equal.
2. A resource is closed when the last configuration that uses it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class Closable(Protocol):
    """A resource that holds sockets or runs timers."""

    def close(self) -> None:
        """Release them."""


@dataclass(slots=True, eq=False)
class _Entry:
    key: tuple[object, ...]
    resource: Any
    users: int


class SharedResources:
    """The resources of all running configurations."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._lock = Lock()

    def scope(self) -> ResourceScope:
        """Return an empty scope for another configuration."""
        return ResourceScope(self._entries, self._lock)

    def kinds(self) -> list[str]:
        """Return the kind of each resource in use, sorted."""
        with self._lock:
            return sorted(str(entry.key[0]) for entry in self._entries)


class ResourceScope:
    """The resources that one configuration uses, a subset of all `entries`; `lock` guards look-ups and releases.

    Only one scope at a time may take resources, while others may end, also on other threads.
    """

    def __init__(self, entries: list[_Entry], lock: Lock) -> None:
        self._entries = entries
        self._lock = lock
        self._taken: list[_Entry] = []

    def take(self, kind: str, *settings: object, make: Callable[[], T]) -> T:
        """Return the running resource of this kind with equal settings, or build it with `make`."""
        key = (kind, *settings)
        if (entry := self._use(key)) is None:
            entry = _Entry(key, make(), users=1)
            with self._lock:
                self._entries.append(entry)
            self._taken.append(entry)
        return cast("T", entry.resource)

    def _use(self, key: tuple[object, ...]) -> _Entry | None:
        with self._lock:
            entry = next((entry for entry in self._entries if entry.key == key), None)
            if entry is not None and entry not in self._taken:
                self._taken.append(entry)
                entry.users += 1
        return entry

    def newest(self, kind: str) -> Any:
        """Return the most recently built resource of a kind, or None if there is none in use."""
        with self._lock:
            return next((entry.resource for entry in reversed(self._entries) if entry.key[0] == kind), None)

    def end(self) -> list[object]:
        """Release all resources of this scope and close those without another user. May be called twice.

        Returns the closed ones: some are large, and freeing them takes time, which the caller may not have.
        """
        taken, self._taken = self._taken, []
        unused: list[_Entry] = []
        with self._lock:
            for entry in taken:
                entry.users -= 1
                if not entry.users:
                    self._entries.remove(entry)
                    unused.append(entry)
        for entry in unused:
            if isinstance(entry.resource, Closable):
                entry.resource.close()
        return [entry.resource for entry in unused]
