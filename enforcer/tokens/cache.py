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
from typing import Generic, TypeVar

from enforcer.settings.cache import CacheSettings
from enforcer.tokens.introspection.response import NEVER, Active, Answer

T = TypeVar("T")

_CHANCES = 32  # entries that one eviction looks at, so that it costs the same however many there are


class Entry(Generic[T]):
    """One remembered answer; `prepared` is what its owner made of it once, so as not to make it on each request.

    It is fresh from `given` to `until`, kept for an outage to `kept_until`, and best asked for anew from `refresh_at`.
    """

    __slots__ = ("answer", "given", "kept_until", "prepared", "refresh_at", "until", "used")

    def __init__(self, answer: Answer, prepared: T, given: float, until: float) -> None:
        self.answer = answer
        self.prepared = prepared
        self.given = given
        self.until = self.kept_until = until
        self.refresh_at = NEVER
        self.used = False


class Cache(Generic[T]):
    """Answers by key, bounded; of the oldest, those not used go first. `now` is seconds since the epoch."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._active: OrderedDict[bytes, Entry[T]] = OrderedDict()
        self._inactive: OrderedDict[bytes, Entry[T]] = OrderedDict()
        self.purges = 0
        """How often something was purged: an answer that was asked for before the last time is not to be kept."""
        self.evictions = {"expired": 0, "capacity": 0}

    def get(self, key: bytes, now: float) -> Entry[T] | None:
        """Return the entry for a key while it is fresh."""
        entry = self._active.get(key)
        if entry is None:
            entry = self._inactive.get(key)
            if entry is None:
                return None
        if entry.given <= now < entry.until:
            entry.used = True
            return entry
        if not entry.given <= now < entry.kept_until:
            self.drop(key)
            self.evictions["expired"] += 1
        return None

    def get_stale(self, key: bytes, now: float) -> Entry[T] | None:
        """Return the entry for a key while it is kept for an outage; never a negative one that is not fresh."""
        entry = self._active.get(key)
        return entry if entry is not None and entry.given <= now < entry.kept_until else None

    def put(self, key: bytes, answer: Answer, prepared: T, now: float) -> Entry[T]:
        """Remember an answer given at `now`; one that is over already is returned, and not kept."""
        settings = self._settings
        self.drop(key)
        if isinstance(answer, Active):
            entry = Entry(answer, prepared, now, min(now + settings.ttl, answer.expires))
            entry.kept_until = min(entry.until + settings.stale, answer.expires)
            if entry.until < answer.expires and settings.refresh_ahead:
                entry.refresh_at = entry.until - min(settings.refresh_ahead, settings.ttl / 2)
            room, most = self._active, settings.entries
        else:
            entry = Entry(answer, prepared, now, now + settings.negative_ttl)
            room, most = self._inactive, settings.negative_entries
        if entry.until > now:
            if len(room) >= most:
                self._evict(room, now)
            room[key] = entry
        return entry

    def take_over(self, earlier: Cache[T], prepare: Callable[[Active], T]) -> None:
        """Remember what another one does, by this one's settings; `prepare` makes anew what was made of each answer."""
        self.purges = earlier.purges
        self.evictions = earlier.evictions
        for key, entry in (*earlier._active.items(), *earlier._inactive.items()):
            answer = entry.answer
            prepared = prepare(answer) if isinstance(answer, Active) else entry.prepared
            self.put(key, answer, prepared, entry.given).used = entry.used

    def drop(self, key: bytes) -> bool:
        """Forget a key; tells whether it was known."""
        return (self._active.pop(key, None) or self._inactive.pop(key, None)) is not None

    def purge(self, subject: str | None = None, client_id: str | None = None) -> int:
        """Forget all active answers for a subject, or a client; returns how many there were."""
        gone = [
            key
            for key, entry in self._active.items()
            if isinstance(entry.answer, Active)
            and (
                (subject is not None and entry.answer.subject == subject)
                or (client_id is not None and entry.answer.client_id == client_id)
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

    def _evict(self, room: OrderedDict[bytes, Entry[T]], now: float) -> None:
        for _ in range(_CHANCES):
            key, entry = room.popitem(last=False)
            if entry.kept_until <= now:
                self.evictions["expired"] += 1
                return
            if not entry.used:
                break
            entry.used = False
            room[key] = entry
        else:
            room.popitem(last=False)
        self.evictions["capacity"] += 1


class Keys:
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
