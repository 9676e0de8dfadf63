"""The cache of verification results. It holds results, never decisions: every request is decided again.

1. A cache key is a keyed digest over (authorization server, token), each length-prefixed. The token is not stored.
2. An active token's entry expires after `ttl`, or at the token's `exp` if that is sooner; an inactive token's entry
   after `negative_ttl`.
3. After its `ttl`, an active token's entry is stale for `stale` more seconds, never past `exp`, for outages.
4. Active and inactive tokens have separate bounds, so that a flood of unknown tokens evicts no good one. That of
   active tokens counts bytes, because servers choose the size of a response; inactive ones are of one size.
5. An entry from the future is not used: the clock was set back.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Final

from enforcer.settings.cache import CacheSettings
from enforcer.tokens.claims import NEVER, ActiveToken
from enforcer.tokens.introspection.response import VerificationResult
from enforcer.tokens.retention import Retention, restored

_PURGE_STEP: Final = 500
"""Entries that one step of a purge looks at: a fraction of a millisecond."""
ENTRY: Final = 640
"""Bytes of an active token's entry, besides the values that differ in size: key, place in the table, and objects."""
_EVICTION_CANDIDATES = 32  # entries that one eviction looks at, so that its cost does not depend on the cache's size


class CacheEntry:
    """One cached verification result, and the identity fields that were written from it.

    It is fresh from `fetched_at` to `expires_at`, may serve an outage until `stale_until`, and should be fetched again
    from `refresh_at`.
    """

    __slots__ = ("expires_at", "fetched_at", "identity", "refresh_at", "result", "size", "stale_until", "used")

    def __init__(self, result: VerificationResult, identity: bytes, fetched_at: float, expires_at: float) -> None:
        self.result = result
        self.identity = identity
        self.fetched_at = fetched_at
        self.expires_at = self.stale_until = expires_at
        self.refresh_at = NEVER
        self.used = False
        self.size = 0


class TokenCache:
    """A bounded cache, which evicts the oldest unused entries (second chance). `now` is seconds since the epoch."""

    def __init__(self, settings: CacheSettings, retention: Retention) -> None:
        self._settings = settings
        self._retention = retention
        self._active: OrderedDict[bytes, CacheEntry] = OrderedDict()
        self._inactive: OrderedDict[bytes, CacheEntry] = OrderedDict()
        self.purges = 0
        """The number of purges: a result that was requested before the last one must not be cached."""
        self.evictions = {"expired": 0, "capacity": 0}
        self.size = 0
        """Bytes of the active tokens' entries."""

    def get(self, key: bytes, now: float) -> CacheEntry | None:
        """Return the entry of a key while it is fresh."""
        entry = self._active.get(key)
        if entry is None:
            entry = self._inactive.get(key)
            if entry is None:
                return None
        if entry.fetched_at <= now < entry.expires_at:
            entry.used = True
            return entry
        if not entry.fetched_at <= now < entry.stale_until:
            self.drop(key)
            self.evictions["expired"] += 1
        return None

    def get_stale(self, key: bytes, now: float) -> CacheEntry | None:
        """Return an active token's entry while it is fresh or stale."""
        entry = self._active.get(key)
        return entry if entry is not None and entry.fetched_at <= now < entry.stale_until else None

    def put(self, key: bytes, result: VerificationResult, identity: bytes, now: float) -> CacheEntry:
        """Add a result fetched at `now`. An entry that has expired already is returned, but not stored."""
        settings = self._settings
        self.drop(key)
        if isinstance(result, ActiveToken):
            result = self._retention.reduce(result)
            entry = CacheEntry(result, identity, now, min(now + settings.ttl, result.expires))
            entry.size = ENTRY + result.size + len(identity)
            entry.stale_until = min(entry.expires_at + settings.stale, result.expires)
            if entry.expires_at < result.expires and settings.refresh_ahead:
                entry.refresh_at = entry.expires_at - min(settings.refresh_ahead, settings.ttl / 2)
            entries, bound = self._active, settings.entries
        else:
            entry = CacheEntry(result, identity, now, now + settings.negative_ttl)
            entries, bound = self._inactive, settings.negative_entries
        if entry.expires_at > now and entry.size <= settings.memory:
            while len(entries) >= bound or self.size + entry.size > settings.memory:
                self._evict(entries, now)
            entries[key] = entry
            self.size += entry.size
        return entry

    def take_over(self, earlier: TokenCache, write_identity: Callable[[ActiveToken], bytes]) -> None:
        """Copy another cache's entries, by the settings of this one; changed identity fields are written again.

        Active tokens are not copied if that cache has not kept all claims that are read now.
        """
        self.purges = earlier.purges
        self.evictions = earlier.evictions
        retention, former = self._retention, earlier._retention
        rewrites = retention.identity != former.identity
        active = tuple(earlier._active.items()) if retention.is_served_by(former) else ()
        for key, entry in (*active, *earlier._inactive.items()):
            result, identity = entry.result, entry.identity
            if rewrites and isinstance(result, ActiveToken):
                identity = write_identity(restored(result))
            self.put(key, result, identity, entry.fetched_at).used = entry.used

    def drop(self, key: bytes) -> bool:
        """Remove a key; returns whether it was there."""
        entry = self._active.pop(key, None) or self._inactive.pop(key, None)
        if entry is not None:
            self.size -= entry.size
        return entry is not None

    def purge(self, subject: str | None = None, client_id: str | None = None) -> Iterator[int]:
        """Remove all active tokens of a subject, or a client, a bounded part in each step; yields their numbers."""
        self.purges += 1
        return self._purge(tuple(self._active), subject, client_id)

    def _purge(self, keys: tuple[bytes, ...], subject: str | None, client_id: str | None) -> Iterator[int]:
        for start in range(0, len(keys), _PURGE_STEP):
            removed = 0
            for key in keys[start : start + _PURGE_STEP]:
                entry = self._active.get(key)
                result = None if entry is None else entry.result
                if isinstance(result, ActiveToken) and (
                    (subject is not None and result.subject == subject)
                    or (client_id is not None and result.client_id == client_id)
                ):
                    self.drop(key)
                    removed += 1
            yield removed

    def clear(self) -> None:
        """Remove all entries."""
        self._active.clear()
        self._inactive.clear()
        self.size = 0

    def __len__(self) -> int:
        return len(self._active) + len(self._inactive)

    def _evict(self, entries: OrderedDict[bytes, CacheEntry], now: float) -> None:
        for _ in range(_EVICTION_CANDIDATES):
            key, entry = entries.popitem(last=False)
            if entry.stale_until <= now or not entry.used:
                break
            entry.used = False
            entries[key] = entry
        else:
            key, entry = entries.popitem(last=False)
        self.size -= entry.size
        self.evictions["expired" if entry.stale_until <= now else "capacity"] += 1


class CacheKeys:
    """Makes the cache keys for one authorization server's tokens. They are useless outside this process."""

    __slots__ = ("_start",)

    def __init__(self, server: str, secret: bytes | None = None) -> None:
        name = server.encode()
        # The secret fills a whole block of SHA-256 (FIPS 180-4), so that it is hashed only here, and not for each key.
        self._start = sha256(secret or secrets.token_bytes(64))
        self._start.update(len(name).to_bytes(4, "big") + name)

    def key(self, token: bytes) -> bytes:
        """Return the cache key of a token."""
        digest = self._start.copy()
        digest.update(len(token).to_bytes(4, "big") + token)
        return digest.digest()
