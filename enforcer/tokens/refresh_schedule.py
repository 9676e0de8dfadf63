"""How long something that an authorization server gives is used, and when it is fetched: its keys, its metadata, an
access token of our own. Pure: `now` is seconds of any clock that only goes on.

1. It is fetched anew when a part of its life is over, before anybody needs it; until that succeeds the last good one
   serves to the end of its life.
2. Who needs a newer one has it fetched at once, but not within `pause` of the last time: whoever makes such a need up
   makes no load.
3. After a failure it is tried again in 1, 2, 4, … seconds, at most `pause`.
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
    """How long one serves, in seconds since it was fetched: another is fetched after `refresh`; `end` is its end."""

    refresh: float
    end: float


class RefreshSchedule(Generic[T]):
    """What the last fetches gave: `last` is the outcome of the last one, or why it is worth nothing any more.

    `life` tells how long one that was fetched serves; `pause` is in seconds.
    """

    __slots__ = ("_admits_from", "_due", "_failures", "_good", "_life", "_pause", "_until", "last")

    def __init__(self, life: Callable[[T], Lifetime], pause: float) -> None:
        self._life = life
        self._pause = pause
        self._good: T | None = None
        self._due = self._admits_from = self._until = float("-inf")
        self._failures = 0
        self.last: T | IntrospectionError = _NEVER_FETCHED

    def good(self, now: float) -> T | None:
        """Return the last good one, while it serves."""
        return self._good if now < self._until else None

    def is_due(self, now: float) -> bool:
        """Tell whether one should be fetched, whether or not anybody asks."""
        return now >= self._due

    def admits(self, now: float) -> bool:
        """Tell whether one may be fetched since somebody needs a newer one."""
        return now >= self._admits_from

    def note(self, outcome: T | IntrospectionError, now: float) -> None:
        """Note how a fetch ended."""
        self.last = outcome
        if isinstance(outcome, IntrospectionError):
            self._due = self._admits_from = now + min(2.0 ** min(self._failures, 30), self._pause)
            self._failures += 1
            return
        life = self._life(outcome)
        self._good = outcome
        self._failures = 0
        self._due = now + life.refresh
        self._until = now + life.end
        self._admits_from = now + self._pause

    def discard(self, why: IntrospectionError) -> None:
        """Note that the last good one is worth nothing; another is fetched as soon as one may be."""
        self.last = why
        self._good = None
        self._due = self._admits_from
