"""How long, and how many, verification results are cached."""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.units import Count, Seconds, SecondsOrZero, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings(Section):
    """How long, and how many, verification results are cached."""

    ttl: Seconds = 60.0
    """How long a result for an active token is used without introspecting again: how late a revocation may be
    noticed."""
    refresh_ahead: SecondsOrZero = 5.0
    """How long before its `ttl` ends the result for a token in use is fetched again, so that no request waits for it;
    at most half of `ttl`."""
    stale: SecondsOrZero = 300.0
    """How long after its `ttl` a result may still serve rules with `on_outage: stale` during an outage of the
    authorization server: how late a revocation may be noticed then. Never past the token's expiry."""
    negative_ttl: Seconds = 5.0
    """How long a result for an inactive token is used. Short, because a token may become active a moment later."""
    entries: Count = 100_000
    """Maximum number of cached active tokens (about 2 KiB each). Bounds memory."""
    negative_entries: Count = 10_000
    """Maximum number of cached inactive tokens (about 300 B each). Bounds memory under a flood of random tokens."""
