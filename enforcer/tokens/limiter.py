"""Limits, for each client address, work that only abuse makes much of: a token bucket for each address. Pure.

It counts unseen tokens, which must be looked up, and DPoP proofs with a wrong signature. Cached tokens and good proofs
are never counted, so a flood of made-up ones harms only its sender.
"""

from __future__ import annotations

from cachetools import LRUCache

from enforcer.settings.limits import UnseenSettings


class AddressLimiter:
    """The token buckets. `now` is seconds since the epoch."""

    __slots__ = ("_buckets", "_settings")

    def __init__(self, settings: UnseenSettings) -> None:
        self._settings = settings
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(settings.addresses)

    def wait(self, address: str, now: float) -> float:
        """Count one unit of work. Returns 0, or the seconds until it would be allowed."""
        settings = self._settings
        left, updated = self._buckets.get(address, (float(settings.burst), now))
        left = min(left + max(now - updated, 0.0) * settings.rate, float(settings.burst))
        allowed = left >= 1.0
        self._buckets[address] = (left - 1.0 if allowed else left, now)
        return 0.0 if allowed else (1.0 - left) / settings.rate

    def give_back(self, address: str) -> None:
        """Undo the last count for an address."""
        left, updated = self._buckets[address]
        self._buckets[address] = (left + 1.0, updated)
