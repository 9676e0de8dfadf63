"""Shares: how much of a table with a limit each of its clients may hold.

1. A client may take another place while it holds less than a fixed multiple of the places that are free. So the share
   shrinks as the table fills, and for a client that holds nothing there is always room, except if a very great number
   of clients holds places: with `share` 75, one client holds at most 75 % of the table, two 43 % each, ten 10 % each.
2. A client that waits for its share delays no other: the others pass.
3. The key of a client is `clients.client_key`. None is a client without a share of its own: it may take every free
   place, because it speaks for many.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """An entry of a line; `deadline` is when it waits no longer."""

    deadline: float


T = TypeVar("T", bound=Waiting)


class Shares:
    """The places of one table that are taken, by client. `size` is the number of all, `share` a percentage."""

    __slots__ = ("_held", "share", "size", "used")

    def __init__(self, size: int, share: int) -> None:
        self.size = size
        self.share = share
        self.used = 0
        self._held: dict[str, int] = {}

    def take(self, client: str | None, count: int = 1) -> bool:
        """Take places for a client; returns whether its share and the table had room for them."""
        free = self.size - self.used
        if count > free:
            return False
        if client is not None:
            held = self._held.get(client, 0)
            if held * (100 - self.share) >= free * self.share:
                return False
            self._held[client] = held + count
        self.used += count
        return True

    def give_back(self, client: str | None, count: int = 1) -> None:
        """Give places back that the client took."""
        self.used -= count
        if client is not None:
            left = self._held[client] - count
            if left:
                self._held[client] = left
            else:
                del self._held[client]

    @property
    def has_room(self) -> bool:
        """Whether any place is free, so that only a client's share can keep it from taking one."""
        return self.used < self.size


class Lines(Generic[T]):
    """Entries that wait for a place, in a line for each client. The clients are served in turn."""

    __slots__ = ("_length", "_lines")

    def __init__(self) -> None:
        self._lines: OrderedDict[str | None, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, client: str | None, entry: T) -> None:
        """Put an entry at the end of its client's line."""
        line = self._lines.get(client)
        if line is None:
            line = self._lines[client] = deque()
        line.append(entry)
        self._length += 1

    def serve(self, shares: Shares) -> T | None:
        """Take a place for the client whose turn it is, of those that may have one; return its first entry."""
        if shares.has_room:
            for client, line in self._lines.items():
                if shares.take(client):
                    entry = line.popleft()
                    self._length -= 1
                    if line:
                        self._lines.move_to_end(client)
                    else:
                        del self._lines[client]
                    return entry
        return None

    def of(self, client: str | None) -> Sequence[T]:
        """Return the line of a client."""
        return self._lines.get(client, ())

    def remove(self, client: str | None, entry: T) -> None:
        """Remove an entry that waits."""
        line = self._lines[client]
        line.remove(entry)
        self._length -= 1
        if not line:
            del self._lines[client]

    def expire(self, now: float) -> list[T]:
        """Remove and return the entries whose deadline has passed; those of one line have the same timeout."""
        expired: list[T] = []
        for client, line in tuple(self._lines.items()):
            while line and line[0].deadline <= now:
                expired.append(line.popleft())
            if not line:
                del self._lines[client]
        self._length -= len(expired)
        return expired
