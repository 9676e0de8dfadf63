"""How long an authorization server's keys are used, and when they are fetched. Pure: `now` is seconds of any clock
that only goes on.

1. Keys are fetched anew every `refresh`, before anybody needs it; until that succeeds the last good ones serve, up to
   `max_age`.
2. A token with an unknown key has them fetched at once, but not within `pause` of the last time: whoever makes key
   names up makes no load.
3. After a failure it is tried again in 1, 2, 4, … seconds, at most `pause`.
"""

from __future__ import annotations

from typing import Final

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.jwks import KeySet
from enforcer.tokens.jwt_settings import KeySettings

_NEVER_FETCHED: Final = IntrospectionError(IntrospectionFailure.UNAVAILABLE, "its keys have not been fetched yet")


class Freshness:
    """What the last fetches gave: `last` is the outcome of the last one, the keys or why there are none."""

    __slots__ = ("_failures", "_fetched", "_keys", "_settings", "_tried", "last")

    def __init__(self, settings: KeySettings) -> None:
        self._settings = settings
        self._keys: KeySet | None = None
        self._fetched = self._tried = 0.0
        self._failures = 0
        self.last: KeySet | IntrospectionError = _NEVER_FETCHED

    def keys(self, now: float) -> KeySet | None:
        """Return the keys that tokens may be verified with."""
        return self._keys if now < self._fetched + self._settings.max_age else None

    def is_due(self, now: float) -> bool:
        """Tell whether the keys should be fetched, whether or not anybody asks."""
        wait = self._settings.refresh if self._failures == 0 else self._pause()
        return self.last is _NEVER_FETCHED or now >= self._tried + wait

    def admits(self, now: float) -> bool:
        """Tell whether the keys may be fetched since a token needs another one."""
        return self.last is _NEVER_FETCHED or now >= self._tried + self._pause()

    def note(self, outcome: KeySet | IntrospectionError, now: float) -> None:
        """Note how a fetch ended."""
        self.last = outcome
        self._tried = now
        if isinstance(outcome, KeySet):
            self._keys = outcome
            self._fetched = now
            self._failures = 0
        else:
            self._failures += 1

    def _pause(self) -> float:
        if self._failures == 0:
            return self._settings.pause
        return min(2.0 ** min(self._failures - 1, 30), self._settings.pause)
