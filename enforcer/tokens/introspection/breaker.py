"""A circuit breaker: stops calls to a server that fails, for its sake and so that nobody waits for it.

Pure: `now` is seconds of any monotonic clock.

1. Closed, calls are made. After `failures` consecutive failures it opens.
2. Open, no calls are made for `pause`. Then there is a single call, whose outcome closes the breaker or opens it again.
"""

from __future__ import annotations

from enforcer.settings.pool import BreakerSettings


class CircuitBreaker:
    """Counts the failures of one server."""

    __slots__ = ("_failures", "_opened_at", "_probing", "_settings")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the last calls failed, so that calls are stopped."""
        return self._opened_at is not None

    def allows(self, now: float) -> bool:
        """Return whether a call may be made. If so, report its end with `record_…` or `release`."""
        if self._opened_at is None:
            return True
        if self._probing or now < self._opened_at + self._settings.pause:
            return False
        self._probing = True
        return True

    def release(self) -> None:
        """Record that an allowed call was not made after all."""
        self._probing = False

    def record_success(self) -> None:
        """Record that the server responded."""
        self._failures = 0
        self._opened_at = None
        self._probing = False

    def record_failure(self, now: float) -> None:
        """Record that the server did not respond."""
        self._failures += 1
        if self._probing or self._failures >= self._settings.failures:
            self._opened_at = now
            self._probing = False
