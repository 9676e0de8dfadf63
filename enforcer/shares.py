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
from typing import Final, Generic, Protocol, TypeVar, final


class Waiting(Protocol):
    """An entry of a line; `deadline` is when it waits no longer."""

    deadline: float


class Observer(Protocol):
    """Is notified if a client's share keeps it from something: `share_report.ShareReport`."""

    def add(self, client: str | None, now: float) -> None:
        """Count one case; `now` is in seconds of any clock, always the same one."""


T = TypeVar("T", bound=Waiting)

_SPARE: Final = 64
"""Clients without places that are remembered at least."""


@final
class Holder:
    """A client that holds places in one table: how many, its `count`."""

    __slots__ = ("client", "count")

    def __init__(self, client: str | None) -> None:
        self.client: Final = client
        self.count = 0


class Shares:
    """The places of one table that are taken, by client. `size` is the number of all, `share` a percentage."""

    __slots__ = ("_anyone", "_holders", "_prune_at", "share", "size", "used")

    def __init__(self, size: int, share: int) -> None:
        self.size = size
        self.share = share
        self.used = 0
        self._anyone = Holder(None)
        self._holders: dict[str, Holder] = {}
        self._prune_at = _SPARE

    def take(self, client: str | None, count: int = 1) -> Holder | None:
        """Take places for a client. Returns the client, for `give_back`; None if its share or the table has no room."""
        free = self.size - self.used
        holder = self._anyone
        if client is not None:
            known = self._holders.get(client)
            holder = self._add(client) if known is None else known
            # As if each place were taken by itself: the last one decides.
            if (holder.count + count - 1) * (100 - self.share) >= (free - count + 1) * self.share:
                return None
        if count > free:
            return None
        holder.count += count
        self.used += count
        return holder

    def give_back(self, holder: Holder, count: int = 1) -> None:
        """Give places back that a client took."""
        holder.count -= count
        self.used -= count

    def _add(self, client: str) -> Holder:
        # Not removed as soon as they hold nothing: most take the next place a moment later.
        if len(self._holders) >= self._prune_at:
            self._holders = {key: holder for key, holder in self._holders.items() if holder.count}
            self._prune_at = 2 * len(self._holders) + _SPARE
        holder = self._holders[client] = Holder(client)
        return holder

    @property
    def has_room(self) -> bool:
        """Whether any place is free, so that only a client's share can keep it from taking one."""
        return self.used < self.size


class Portions:
    """The part of each client in a table that evicts entries, so that the clients with the most lose theirs first."""

    __slots__ = ("_holders", "used")

    def __init__(self) -> None:
        self.used = 0
        self._holders: dict[str, Holder] = {}

    def add(self, client: str, count: int) -> Holder:
        """Add to what a client holds. Returns the client, for `remove` and `exceeds`."""
        holder = self._holders.get(client)
        if holder is None:
            holder = self._holders[client] = Holder(client)
        holder.count += count
        self.used += count
        return holder

    def remove(self, holder: Holder, count: int) -> None:
        """Remove from what a client holds."""
        holder.count -= count
        self.used -= count
        if not holder.count and holder.client is not None:
            del self._holders[holder.client]

    def reaches(self, holder: Holder) -> bool:
        """Return whether a client holds an equal part or more: of one client, all; always true for some client."""
        return holder.count * len(self._holders) >= self.used

    def exceeds(self, holder: Holder) -> bool:
        """Return whether a client holds more than an equal part."""
        return holder.count * len(self._holders) > self.used


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

    def serve(self, shares: Shares) -> tuple[T, Holder] | None:
        """Take a place for the client whose turn it is, of those that may have one; return its first entry with it."""
        if shares.has_room:
            for client, line in self._lines.items():
                holder = shares.take(client)
                if holder is not None:
                    entry = line.popleft()
                    self._length -= 1
                    if line:
                        self._lines.move_to_end(client)
                    else:
                        del self._lines[client]
                    return entry, holder
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
