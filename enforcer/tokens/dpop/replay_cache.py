"""The replay cache: records DPoP proofs, so that each is accepted once (RFC 9449 §11.1). Pure.

1. A full cache accepts no proof. It must not evict one, since an evicted proof would be accepted again: that is why
   this is not a `cachetools` cache.
2. The holder of a token may only have a share of it, which shrinks as the cache fills, so that no holder fills it for
   all: the others' proofs are still accepted.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Final

from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.dpop.possession import PossessionFault

_FREED: Final = 8
"""Expired proofs, or holders of such, that are freed with each check."""


class ReplayCache:
    """Records proofs for at least as long as they would be accepted, even if the settings change meanwhile.

    There are two sets, for the current period and for the previous one. Those of earlier periods are freed a few proofs
    at a time, since freeing a full set holds the event loop for 40 ms.
    """

    __slots__ = (
        "_complete_since", "_current", "_expired", "_held", "_held_previously", "_max_age", "_previous", "_since"
    )  # fmt: skip

    def __init__(self) -> None:
        self._since = 0.0
        self._max_age = float("inf")
        self._complete_since = float("-inf")  # proofs issued before this time may have been used, and expired here
        self._current: set[bytes] = set()
        self._previous: set[bytes] = set()
        self._held: dict[str, int] = {}  # proofs in `_current` by holder
        self._held_previously: dict[str, int] = {}
        self._expired: list[tuple[set[bytes], dict[str, int]]] = []

    def check(
        self, proof: bytes, holder: str, issued: float, settings: ProofSettings, share: int, now: float
    ) -> PossessionFault | None:
        """Return a fault if a proof, by its `proof_id`, was used, may have been used, or cannot be recorded.

        It is not recorded yet. `share` is the percentage of all proofs that a holder may have, less while others have
        some (`shares`). `issued` and `now` are seconds since the epoch.
        """
        self._free_some()
        if settings.max_age > self._max_age:
            self._complete_since = now - self._max_age
        self._max_age = settings.max_age
        if issued < self._complete_since:
            return PossessionFault.TIME
        period = settings.max_age + settings.clock_skew
        age = now - self._since
        if age >= period:
            self._begin_period()
            if age >= 2 * period:
                self._begin_period()
        if not 0.0 <= age < period:
            # Also if the clock was set back: the recorded proofs then stay for one more period.
            self._since = now
        if proof in self._current or proof in self._previous:
            return PossessionFault.REPLAYED
        free = settings.replays - len(self)
        held = self._held.get(holder, 0) + self._held_previously.get(holder, 0)
        return None if held * (100 - share) < free * share else PossessionFault.FULL

    def add(self, proof: bytes, holder: str) -> None:
        """Record a proof of a holder, directly after `check`."""
        self._current.add(proof)
        self._held[holder] = self._held.get(holder, 0) + 1

    @property
    def expired(self) -> int:
        """Number of expired proofs that are not freed yet."""
        return sum(len(proofs) for proofs, _ in self._expired)

    def _begin_period(self) -> None:
        self._expired.append((self._previous, self._held_previously))
        self._previous, self._held_previously = self._current, self._held
        self._current, self._held = set(), {}

    def _free_some(self) -> None:
        """Free some expired proofs, more than one check can add, so that they never become more."""
        for _ in range(_FREED):
            if not self._expired:
                return
            proofs, held = self._expired[-1]
            if proofs:
                proofs.pop()
            elif held:
                held.popitem()
            else:
                self._expired.pop()

    def __len__(self) -> int:
        return len(self._current) + len(self._previous)


def proof_id(thumbprint: str, jti: str) -> bytes:
    """Return the identifier under which a proof is recorded: a digest of its key's thumbprint and its `jti`."""
    return blake2b(thumbprint.encode() + b"\0" + jti.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def holder_of(token: ActiveToken, thumbprint: str) -> str:
    """Return whose proofs a token's count as: its subject's at one client, else those of its key.

    A subject gets as many keys as it wants from most authorization servers, so a share for each key would be no bound.
    """
    if token.subject is None and token.client_id is None:
        return thumbprint
    names = json.dumps((token.issuer, token.subject, token.client_id)).encode()
    return blake2b(names, digest_size=16).hexdigest()
