"""The answers that are remembered. The answer, never the verdict: every rule is judged anew on every request.

1. A key is a keyed digest over (authorization server, token), each length-prefixed; the token itself is not kept.
2. A positive answer lives for `ttl` or until its token's `exp`, whichever comes first; a negative one for
   `negative_ttl`.
3. Past its `ttl` a positive answer is kept for `stale` more, never past `exp`, for when nobody can be asked.
4. Positives and negatives are bounded apart, so that a flood of unknown tokens evicts no good one.
5. An entry from the future (the clock was set back) is no entry.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from enforcer.settings.cache import CacheSettings
from enforcer.tokens.introspection.response import NEVER, ActiveToken, VerificationResult

_CHANCES = 32  # entries that one eviction looks at, so that it costs the same however many there are


class CacheEntry:
    """One remembered answer; `identity` is what its owner made of it once, so as not to make it on each request.

    It is fresh from `fetched_at` to `expires_at`, may be served during an outage until `stale_until`, and is
    best fetched anew from `refresh_at`.
    """

    __slots__ = ("expires_at", "fetched_at", "identity", "refresh_at", "result", "stale_until", "used")

    def __init__(self, answer: VerificationResult, identity: bytes, fetched_at: float, expires_at: float) -> None:
        self.result = answer
        self.identity = identity
        self.fetched_at = fetched_at
        self.expires_at = self.stale_until = expires_at
        self.refresh_at = NEVER
        self.used = False


class TokenCache:
    """Answers by key, bounded; of the oldest, those not used go first. `now` is seconds since the epoch."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._active: OrderedDict[bytes, CacheEntry] = OrderedDict()
        self._inactive: OrderedDict[bytes, CacheEntry] = OrderedDict()
        self.purges = 0
        """How often something was purged: an answer that was asked for before the last time is not to be kept."""
        self.evictions = {"expired": 0, "capacity": 0}

    def get(self, key: bytes, now: float) -> CacheEntry | None:
        """Return the entry for a key while it is fresh."""
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
        """Return the entry for a key while it is kept for an outage; never a negative one that is not fresh."""
        entry = self._active.get(key)
        return entry if entry is not None and entry.fetched_at <= now < entry.stale_until else None

    def put(self, key: bytes, answer: VerificationResult, identity: bytes, now: float) -> CacheEntry:
        """Remember an answer given at `now`; one that is over already is returned, and not kept."""
        settings = self._settings
        self.drop(key)
        if isinstance(answer, ActiveToken):
            entry = CacheEntry(answer, identity, now, min(now + settings.ttl, answer.expires))
            entry.stale_until = min(entry.expires_at + settings.stale, answer.expires)
            if entry.expires_at < answer.expires and settings.refresh_ahead:
                entry.refresh_at = entry.expires_at - min(settings.refresh_ahead, settings.ttl / 2)
            room, most = self._active, settings.entries
        else:
            entry = CacheEntry(answer, identity, now, now + settings.negative_ttl)
            room, most = self._inactive, settings.negative_entries
        if entry.expires_at > now:
            if len(room) >= most:
                self._evict(room, now)
            room[key] = entry
        return entry

    def take_over(self, earlier: TokenCache, prepare: Callable[[ActiveToken], bytes]) -> None:
        """Remember what another one does, by this one's settings; `prepare` makes anew what was made of each answer."""
        self.purges = earlier.purges
        self.evictions = earlier.evictions
        for key, entry in (*earlier._active.items(), *earlier._inactive.items()):
            answer = entry.result
            identity = prepare(answer) if isinstance(answer, ActiveToken) else entry.identity
            self.put(key, answer, identity, entry.fetched_at).used = entry.used

    def drop(self, key: bytes) -> bool:
        """Forget a key; tells whether it was known."""
        return (self._active.pop(key, None) or self._inactive.pop(key, None)) is not None

    def purge(self, subject: str | None = None, client_id: str | None = None) -> int:
        """Forget all active answers for a subject, or a client; returns how many there were."""
        gone = [
            key
            for key, entry in self._active.items()
            if isinstance(entry.result, ActiveToken)
            and (
                (subject is not None and entry.result.subject == subject)
                or (client_id is not None and entry.result.client_id == client_id)
            )
        ]
        for key in gone:
            del self._active[key]
        self.purges += 1
        return len(gone)

    def clear(self) -> None:
        """Forget all."""
        self._active.clear()
        self._inactive.clear()

    def __len__(self) -> int:
        return len(self._active) + len(self._inactive)

    def _evict(self, room: OrderedDict[bytes, CacheEntry], now: float) -> None:
        for _ in range(_CHANCES):
            key, entry = room.popitem(last=False)
            if entry.stale_until <= now:
                self.evictions["expired"] += 1
                return
            if not entry.used:
                break
            entry.used = False
            room[key] = entry
        else:
            room.popitem(last=False)
        self.evictions["capacity"] += 1


class CacheKeys:
    """Makes the keys of one authorization server's tokens; they are worth nothing outside this process."""

    __slots__ = ("_start",)

    def __init__(self, server: str, secret: bytes | None = None) -> None:
        name = server.encode()
        # A whole block of SHA-256 (FIPS 180-4), which processors have instructions for: what follows it costs its own.
        self._start = sha256(secret or secrets.token_bytes(64))
        self._start.update(len(name).to_bytes(4, "big") + name)

    def key(self, token: bytes) -> bytes:
        """Return the key of a token."""
        digest = self._start.copy()
        digest.update(len(token).to_bytes(4, "big") + token)
        return digest.digest()
