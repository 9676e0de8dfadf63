"""Bounds how much work a client may make that nobody else would: a token bucket for each address. Pure.

It is of tokens never seen before, which are looked up, and of DPoP proofs with a wrong signature. What is remembered,
and what is right, is never counted, so that a flood of made-up ones harms its sender alone.
"""

from __future__ import annotations

from collections import OrderedDict

from enforcer.settings.limits import UnseenSettings


class AddressLimiter:
    """The buckets. `now` is seconds since the epoch."""

    __slots__ = ("_buckets", "_settings")

    def __init__(self, settings: UnseenSettings) -> None:
        self._settings = settings
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Count one unseen token; returns 0, or the seconds until there is room for it."""
        settings = self._settings
        left, since = self._buckets.pop(address, (float(settings.burst), now))
        left = min(left + max(now - since, 0.0) * settings.rate, float(settings.burst))
        admitted = left >= 1.0
        self._buckets[address] = (left - 1.0 if admitted else left, now)
        if len(self._buckets) > settings.addresses:
            self._buckets.popitem(last=False)
        return 0.0 if admitted else (1.0 - left) / settings.rate

    def give_back(self, address: str) -> None:
        """Count one less for an address, of which one was counted just now."""
        left, since = self._buckets[address]
        self._buckets[address] = (left + 1.0, since)
