"""How much work a client may make; apart from what bounds it, which is compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from enforcer.units import CLOSED, Count


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenSettings:
    """How many tokens that were never seen before a client address may send."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    rate: Count = 1000
    """A second, on average; one more is answered 429. Protects the authorization server. DPoP proofs with a wrong
    signature are counted apart, by the same numbers."""
    burst: Count = 2000
    """At once. Room for a start with an empty cache."""
    addresses: Count = 10_000
    """Addresses that are told apart at most; the one longest unseen is forgotten first. Bounds memory."""
