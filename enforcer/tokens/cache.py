"""The cache of verification results. It holds results, never decisions: every request is decided again.

1. A cache key is a keyed digest over (authorization server, token), each length-prefixed. The token is not stored.
2. An active token's entry expires after `ttl`, or at the token's `exp` if that is sooner; an inactive token's entry
   after `negative_ttl`.
3. After its `ttl`, an active token's entry is stale for `stale` more seconds, never past `exp`, for outages.
4. Active and inactive tokens have separate bounds, so that a flood of unknown tokens evicts no good one. That of
   active tokens counts bytes, because servers choose the size of a response; inactive ones are of one size.
5. An entry from the future is not used: the clock was set back.
6. While a table is full, the clients that brought the most tokens lose theirs first: a client that brings many evicts
   its own.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Final

from enforcer.clients import OWN
from enforcer.settings.cache import CacheSettings
from enforcer.shares import Holder, Observer, Portions
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

    __slots__ = (
        "expires_at", "fetched_at", "holder", "identity", "refresh_at", "result", "size", "stale_until", "used"
    )  # fmt: skip

    def __init__(self, result: VerificationResult, identity: bytes, fetched_at: float, expires_at: float) -> None:
        self.holder: Holder | None = None  # the client that brought the token, while the entry is in a table
        self.result = result
        self.identity = identity
        self.fetched_at = fetched_at
        self.expires_at = self.stale_until = expires_at
        self.refresh_at = NEVER
        self.used = False
        self.size = 1


class _Table:
    """The entries of active, or of inactive tokens: by key, the one that may be evicted first being the first one.

    `portions` counts their size by client. `held_back` is notified if an entry is evicted because its client has more
    than others.
    """

    __slots__ = ("entries", "held_back", "portions")

    def __init__(self, held_back: Observer | None) -> None:
        self.entries: OrderedDict[bytes, CacheEntry] = OrderedDict()
        self.portions = Portions()
        self.held_back = held_back

    def add(self, key: bytes, entry: CacheEntry, client: str) -> None:
        entry.holder = self.portions.add(client, entry.size)
        self.entries[key] = entry

    def pop(self, key: bytes) -> CacheEntry | None:
        """Remove an entry and return it; None if there is none."""
        entry = self.entries.pop(key, None)
        if entry is not None and entry.holder is not None:
            self.portions.remove(entry.holder, entry.size)
            entry.holder = None
        return entry

    def evict(self, now: float, *, by_client: bool) -> bool:
        """Remove one of the oldest entries: an unused one, of a client with an equal part or more if `by_client`.

        Returns whether it had expired.
        """
        entries, portions, victim = self.entries, self.portions, b""
        for _ in range(_EVICTION_CANDIDATES):
            key = next(iter(entries))
            entry, holder = entries[key], entries[key].holder
            reaches = not by_client or holder is None or portions.reaches(holder)
            if entry.stale_until <= now or (reaches and not entry.used):
                victim = key
                break
            if reaches and not victim:
                victim = key
            entry.used = False
            entries.move_to_end(key)
        if not victim:
            victim = next(iter(entries))
        entry, holder = entries[victim], entries[victim].holder
        expired = entry.stale_until <= now
        if by_client and not expired and self.held_back is not None and holder is not None and portions.exceeds(holder):
            self.held_back.add(holder.client, now)
        self.pop(victim)
        return expired


class TokenCache:
    """A bounded cache, which evicts the oldest unused entries (second chance). `now` is seconds since the epoch.

    `by_client`: clients that brought more tokens than others lose theirs first. `held_back` is notified of that, for
    active and for inactive tokens.
    """

    def __init__(
        self,
        settings: CacheSettings,
        retention: Retention,
        *,
        by_client: bool = True,
        held_back: tuple[Observer | None, Observer | None] = (None, None),
    ) -> None:
        self._settings = settings
        self.retention = retention
        self._by_client = by_client
        self._active = _Table(held_back[0])
        self._inactive = _Table(held_back[1])
        self.purges = 0
        """The number of purges: a result that was requested before the last one must not be cached."""
        self.evictions = {"expired": 0, "capacity": 0}

    @property
    def size(self) -> int:
        """Bytes of the active tokens' entries."""
        return self._active.portions.used

    def get(self, key: bytes, now: float) -> CacheEntry | None:
        """Return the entry of a key while it is fresh."""
        entry = self._active.entries.get(key)
        if entry is None:
            entry = self._inactive.entries.get(key)
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
        entry = self._active.entries.get(key)
        return entry if entry is not None and entry.fetched_at <= now < entry.stale_until else None

    def put(self, key: bytes, result: VerificationResult, identity: bytes, now: float, client: str = OWN) -> CacheEntry:
        """Add a result that was fetched at `now` for a client. An expired one is returned, and not stored."""
        settings = self._settings
        self.drop(key)
        if isinstance(result, ActiveToken):
            result = self.retention.reduce(result)
            entry = CacheEntry(result, identity, now, min(now + settings.ttl, result.expires))
            entry.size = ENTRY + result.size + len(identity)
            entry.stale_until = min(entry.expires_at + settings.stale, result.expires)
            if entry.expires_at < result.expires and settings.refresh_ahead:
                entry.refresh_at = entry.expires_at - min(settings.refresh_ahead, settings.ttl / 2)
            table, bound, memory = self._active, settings.entries, settings.memory
        else:
            entry = CacheEntry(result, identity, now, now + settings.negative_ttl)
            table, bound, memory = self._inactive, settings.negative_entries, settings.negative_entries
        if entry.expires_at > now and entry.size <= memory:
            while len(table.entries) >= bound or table.portions.used + entry.size > memory:
                expired = table.evict(now, by_client=self._by_client)
                self.evictions["expired" if expired else "capacity"] += 1
            table.add(key, entry, client)
        return entry

    def take_over(self, earlier: TokenCache, write_identity: Callable[[ActiveToken], bytes]) -> None:
        """Copy another cache's entries, by the settings of this one; changed identity fields are written again.

        Active tokens are not copied if that cache has not kept all claims that are read now.
        """
        self.purges = earlier.purges
        self.evictions = earlier.evictions
        retention, former = self.retention, earlier.retention
        rewrites = retention.identity != former.identity
        active = tuple(earlier._active.entries.items()) if retention.is_served_by(former) else ()
        for key, entry in (*active, *earlier._inactive.entries.items()):
            result, identity, holder = entry.result, entry.identity, entry.holder
            if rewrites and isinstance(result, ActiveToken):
                identity = write_identity(restored(result))
            client = OWN if holder is None or holder.client is None else holder.client
            self.put(key, result, identity, entry.fetched_at, client).used = entry.used

    def drop(self, key: bytes) -> bool:
        """Remove a key; returns whether it was there."""
        return (self._active.pop(key) or self._inactive.pop(key)) is not None

    def purge(self, subject: str | None = None, client_id: str | None = None) -> Iterator[int]:
        """Remove all active tokens of a subject, or a client, a bounded part in each step; yields their numbers."""
        self.purges += 1
        return self._purge(len(self._active.entries), subject, client_id)

    def _purge(self, left: int, subject: str | None, client_id: str | None) -> Iterator[int]:
        entries = self._active.entries
        while left > 0 and entries:
            removed = 0
            for _ in range(min(left, _PURGE_STEP, len(entries))):
                # Each one moves to the end, so that no step needs a copy of all keys; newer ones come after the last.
                key = next(iter(entries))
                result = entries[key].result
                if isinstance(result, ActiveToken) and (
                    (subject is not None and result.subject == subject)
                    or (client_id is not None and result.client_id == client_id)
                ):
                    self.drop(key)
                    removed += 1
                else:
                    entries.move_to_end(key)
            left -= _PURGE_STEP
            yield removed

    def clear(self) -> list[object]:
        """Remove all entries, and return them: freeing them takes time, which the caller may not have."""
        removed: list[object] = [self._active, self._inactive]
        self._active, self._inactive = _Table(self._active.held_back), _Table(self._inactive.held_back)
        return removed

    def __len__(self) -> int:
        return len(self._active.entries) + len(self._inactive.entries)


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
