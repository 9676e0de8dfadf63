"""The memory of the check of DPoP proofs. No cryptography is loaded here, since most tokens are not bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache

from enforcer.tokens.dpop.replay_cache import ReplayCache
from enforcer.tokens.limiter import ClientLimiter

_KEY_BYTES: Final = 6144
"""Upper bound of the memory of one imported key: RSA with 4,096 bits, with the JWK and OpenSSL's form of it."""


@dataclass(frozen=True, slots=True, eq=False)
class ProofState:
    """The proofs that were used, their keys, and the number of wrong signatures by client.

    `keys` are imported keys (`jwks.Key`) by the thumbprint of their JWK: importing one costs as much as verifying a
    signature. Only keys that have verified one get there, so that senders without a key cannot evict other ones.
    `share` is the percentage of used proofs that one holder may have; if that refuses a proof, `on_share_exceeded` gets
    its client and the time.
    """

    used: ReplayCache
    keys: LRUCache[str, Any]
    wrong: ClientLimiter
    share: int
    on_share_exceeded: Callable[[str, float], None]


def key_cache(size: int) -> LRUCache[str, Any]:
    """Return an empty cache of imported keys that takes at most `size` bytes."""
    return LRUCache(max(size // _KEY_BYTES, 1))
