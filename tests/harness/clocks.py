"""Time that goes on when it is told to."""

from __future__ import annotations

from collections.abc import Callable


class Clock:
    """As much of an event loop as a ticker needs; time goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self._due.append((self.now + delay, callback))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while (at := min((at for at, _ in self._due), default=end + 1)) <= end:
            due, self._due = [one for one in self._due if one[0] <= at], [one for one in self._due if one[0] > at]
            self.now = at
            for _, callback in due:
                callback()
        self.now = end
