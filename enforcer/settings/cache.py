"""How long, and how many, verification results are cached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from enforcer.units import CLOSED, Count, Seconds, SecondsOrZero


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """How long, and how many, answers are remembered."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    ttl: Seconds = 60.0
    """How long an active token's answer is used without asking again: how late a revocation may be noticed."""
    refresh_ahead: SecondsOrZero = 5.0
    """How long before its `ttl` ends the answer of a token in use is asked for again, so that no request waits for it;
    at most half of `ttl`."""
    stale: SecondsOrZero = 300.0
    """How long past its `ttl` an answer may serve rules with `on_outage: stale` while the authorization server does not
    answer: how late a revocation may be noticed then. Never past the token's end."""
    negative_ttl: Seconds = 5.0
    """How long an inactive token's answer is used. Short: a token may become known a moment later."""
    entries: Count = 100_000
    """Active answers remembered at most (about 2 KiB each). Bounds memory."""
    negative_entries: Count = 10_000
    """Inactive answers remembered at most (about 300 B each). Bounds memory under a flood of random tokens."""
