"""When a remote document is fetched again, and how long it is used. Pure: `now` is seconds of any monotonic clock.

1. A document is refreshed when part of its lifetime is over, before anybody needs a new one. Until that succeeds, the
   last good one is used to the end of its lifetime.
2. A document that somebody needs sooner is fetched at once, but not within `pause` of the last fetch: made-up needs,
   such as tokens with an unknown key, cause no load.
3. After a failure, fetches are retried after 1, 2, 4, … seconds, at most `pause`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from enforcer.errors import IntrospectionError, IntrospectionFailure

T = TypeVar("T")

_NEVER_FETCHED: Final = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "nothing has been fetched yet")


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds since the fetch: until the next refresh, and until the document is no longer used."""

    refresh: float
    end: float


class RefreshSchedule(Generic[T]):
    """The outcomes of past fetches, and what follows from them. `last` is the last outcome.

    `lifetime` returns the lifetime of a fetched document; `pause` is in seconds.
    """

    __slots__ = ("_allowed_from", "_current", "_due", "_expires", "_failures", "_lifetime", "_pause", "last")

    def __init__(self, lifetime: Callable[[T], Lifetime], pause: float) -> None:
        self._lifetime = lifetime
        self._pause = pause
        self._current: T | None = None
        self._due = self._allowed_from = self._expires = float("-inf")
        self._failures = 0
        self.last: T | IntrospectionError = _NEVER_FETCHED

    def current(self, now: float) -> T | None:
        """Return the last good document, until the end of its lifetime."""
        return self._current if now < self._expires else None

    def is_due(self, now: float) -> bool:
        """Return whether the document should be refreshed, even if nobody needs it now."""
        return now >= self._due

    def allows_fetch(self, now: float) -> bool:
        """Return whether the document may be fetched because somebody needs a newer one."""
        return now >= self._allowed_from

    def record(self, outcome: T | IntrospectionError, now: float) -> None:
        """Record the outcome of a fetch."""
        self.last = outcome
        if isinstance(outcome, IntrospectionError):
            self._due = self._allowed_from = now + min(2.0 ** min(self._failures, 30), self._pause)
            self._failures += 1
            return
        lifetime = self._lifetime(outcome)
        self._current = outcome
        self._failures = 0
        self._due = now + lifetime.refresh
        self._expires = now + lifetime.end
        self._allowed_from = now + self._pause
