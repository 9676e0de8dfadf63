"""A clock that a test advances by hand."""

from __future__ import annotations

from collections.abc import Callable


class Clock:
    """The part of an event loop that a ticker needs, with a clock that stands still until `advance`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self._due.append((self.now + delay, callback))

    def call_soon(self, callback: Callable[..., None], *values: object) -> None:
        self._due.append((self.now, lambda: callback(*values)))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while (next_due := min((due for due, _ in self._due), default=end + 1)) <= end:
            calls = [call for call in self._due if call[0] <= next_due]
            self._due = [call for call in self._due if call[0] > next_due]
            self.now = next_due
            for _, callback in calls:
                callback()
        self.now = end
