"""The cache of verification results."""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.units import Bytes, Count, Seconds, SecondsOrZero, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings(Section):
    """Lifetimes and number of cached verification results."""

    ttl: Seconds = 60.0
    """Lifetime of a result for an active token: the longest delay until a revocation is noticed."""
    refresh_ahead: SecondsOrZero = 5.0
    """Time before the end of its `ttl` at which the result for a token in use is fetched again, so that no request
    waits for it; at most half of `ttl`."""
    stale: SecondsOrZero = 300.0
    """Time after its `ttl` in which a result may still serve rules with `on_outage: stale` during an outage of the
    authorization server, which delays the notice of a revocation as long. Never past the token's expiry."""
    negative_ttl: Seconds = 5.0
    """Lifetime of a result for an inactive token. Short, because a token may become active a moment later."""
    entries: Count = 100_000
    """Maximum number of cached active tokens; if there are more, the least recently used are dropped."""
    memory: Bytes = 64 * 1024**2
    """Maximum memory of cached active tokens: about 700 B each, and their subject, identity fields, and claims that
    rules read. Bounds memory, whatever the size of the server's responses."""
    negative_entries: Count = 10_000
    """Maximum number of cached inactive tokens (350 B each). Bounds memory under a flood of random tokens."""
