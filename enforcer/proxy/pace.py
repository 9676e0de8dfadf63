"""How fast a request's body must come. Pure: times are seconds of one clock that only goes on."""

from __future__ import annotations

from enforcer.settings.limits import Limits, Timeouts


class Pace:
    """Measures one body: no pause between two reads longer than `timeouts.body`, and `limits.body_rate` on average."""

    __slots__ = ("_bare", "_since", "_size", "came")

    def __init__(self) -> None:
        self._since = 0.0
        self._size = self._bare = 0
        self.came = False
        """Set where a read held bytes of the body itself, and not of its framing alone."""

    def stop(self) -> None:
        """Measure nothing until the next start."""
        self._size = 0

    def start(self, now: float, timeouts: Timeouts) -> float:
        """Measure from `now` on; returns until when the next byte must come."""
        self._size = 0
        self._since = now
        return now + timeouts.body

    def read(self, size: int, now: float, limits: Limits, timeouts: Timeouts) -> float | None:
        """Note a read; returns until when the next must come, or None where too much of it all is framing.

        Framing and trailers hold a request's memory and time as a head does, so that its limit is theirs.
        """
        if self.came or not self._size:
            self.came = False
            self._bare = 0
        else:
            self._bare += size
            if self._bare > limits.head:
                return None
        if not self._size:
            self._since = now
        self._size += size
        on_average = self._since + timeouts.body + self._size / limits.body_rate
        return min(now + timeouts.body, on_average)
