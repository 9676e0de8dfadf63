"""An allowance: how many events may come at once, and how many more each second. Pure."""

from __future__ import annotations


class Allowance:
    """`size` events at once, and as many more a second. Times are in seconds on one clock."""

    __slots__ = ("_left", "_size", "_spent_at")

    def __init__(self, size: int, now: float) -> None:
        self._size = float(size)
        self._left = float(size)
        self._spent_at = now

    def spend(self, now: float) -> bool:
        """Count one event; return whether it was allowed."""
        left = min(self._left + (now - self._spent_at) * self._size, self._size)
        self._spent_at = now
        self._left = max(left - 1.0, 0.0)
        return left >= 1.0

    def earn(self, count: int) -> None:
        """Allow more events, which something useful causes."""
        self._left = min(self._left + count, self._size)
