"""Limits, for each client, work that only abuse makes much of: a token bucket for each client's key. Pure.

It counts unseen tokens, which must be looked up, and DPoP proofs with a wrong signature. Cached tokens and good proofs
are never counted, so a flood of made-up ones harms only its sender.

A bucket that is full again is like no bucket, and is dropped. A bucket that is not full is kept, because its client
would get another burst: if the table is full of these, clients that it does not know are counted by their network, all
clients of one network together.
"""

from __future__ import annotations

from collections import OrderedDict

from cachetools import LRUCache

from enforcer.clients import client_network
from enforcer.settings.limits import UnseenSettings

_Bucket = tuple[float, float]
"""The units left in it, and the time at which so many were left."""


class ClientLimiter:
    """The token buckets, by the clients' keys (`clients.client_key`). `now` is seconds since the epoch."""

    __slots__ = ("_buckets", "_networks", "_settings")

    def __init__(self, settings: UnseenSettings) -> None:
        self._settings = settings
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # the one that was used last is the last one
        self._networks: LRUCache[str, _Bucket] = LRUCache(settings.addresses)

    def wait(self, client: str, now: float) -> float:
        """Count one unit of work. Returns 0, or the seconds until it would be allowed."""
        buckets = self._buckets
        if client in buckets or self._has_room(now):
            left, wait = self._withdraw(buckets.get(client), now)
            buckets[client] = (left, now)
            buckets.move_to_end(client)
            return wait
        network = client_network(client)
        left, wait = self._withdraw(self._networks.get(network), now)
        self._networks[network] = (left, now)
        return wait

    def give_back(self, client: str) -> None:
        """Undo the last count for a client."""
        if client in self._buckets:
            left, updated = self._buckets[client]
            self._buckets[client] = (left + 1.0, updated)
            return
        network = client_network(client)
        left, updated = self._networks[network]
        self._networks[network] = (left + 1.0, updated)

    def _withdraw(self, bucket: _Bucket | None, now: float) -> tuple[float, float]:
        """Return what is left in a bucket after a unit is taken, and the seconds until there would be one to take."""
        settings = self._settings
        left, updated = bucket or (float(settings.burst), now)
        left = min(left + max(now - updated, 0.0) * settings.rate, float(settings.burst))
        return (left - 1.0, 0.0) if left >= 1.0 else (left, (1.0 - left) / settings.rate)

    def _has_room(self, now: float) -> bool:
        buckets, settings = self._buckets, self._settings
        while len(buckets) >= settings.addresses:
            client, (left, updated) = next(iter(buckets.items()))
            # Also dropped if the clock was set back: it would be kept until the clock has caught up.
            if updated <= now and left + (now - updated) * settings.rate < settings.burst:
                return False
            del buckets[client]
        return True
