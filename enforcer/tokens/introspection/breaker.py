"""Spares a server that fails, and those who would wait for it. Pure: `now` is seconds of any clock that only goes on.

1. Closed, calls are made; after `failures` failures in a row it opens.
2. Open, no call is made for `pause`; then one is, alone, and its end closes the breaker or opens it again.
"""

from __future__ import annotations

from enforcer.settings.pool import BreakerSettings


class CircuitBreaker:
    """Counts the failures of one server."""

    __slots__ = ("_failures", "_opened", "_probing", "_settings")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the last calls failed, and the server is left alone."""
        return self._opened is not None

    def admits(self, now: float) -> bool:
        """Tell whether a call may be made; if so, `succeeded`, `failed` or `released` must tell its end."""
        if self._opened is None:
            return True
        if self._probing or now < self._opened + self._settings.pause:
            return False
        self._probing = True
        return True

    def released(self) -> None:
        """Note that a call was not made after all."""
        self._probing = False

    def succeeded(self) -> None:
        """Note that the server answered."""
        self._failures = 0
        self._opened = None
        self._probing = False

    def failed(self, now: float) -> None:
        """Note that it did not."""
        self._failures += 1
        if self._probing or self._failures >= self._settings.failures:
            self._opened = now
            self._probing = False
