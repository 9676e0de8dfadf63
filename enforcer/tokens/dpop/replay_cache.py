"""The replay cache: records DPoP proofs, so that each is accepted once (RFC 9449 §11.1). Pure.

A full cache accepts no proof. It must not evict one, since an evicted proof would be accepted again: that is why this
is not a `cachetools` cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.dpop.possession import PossessionFault
from enforcer.tokens.limiter import ClientLimiter


class ReplayCache:
    """Records proofs for at least as long as they would be accepted, even if the settings change meanwhile.

    There are two sets, for the current period and for the previous one, so that expiry costs nothing.
    """

    __slots__ = ("_complete_since", "_current", "_max_age", "_previous", "_since")

    def __init__(self) -> None:
        self._since = 0.0
        self._max_age = float("inf")
        self._complete_since = float("-inf")  # proofs issued before this time may have been used, and expired here
        self._current: set[bytes] = set()
        self._previous: set[bytes] = set()

    def check(self, proof: bytes, issued: float, settings: ProofSettings, now: float) -> PossessionFault | None:
        """Return a fault if a proof, by its `proof_id`, was used, may have been used, or cannot be recorded.

        It is not recorded yet. `issued` and `now` are seconds since the epoch.
        """
        if settings.max_age > self._max_age:
            self._complete_since = now - self._max_age
        self._max_age = settings.max_age
        if issued < self._complete_since:
            return PossessionFault.TIME
        period = settings.max_age + settings.clock_skew
        age = now - self._since
        if age >= period:
            self._previous = self._current if age < 2 * period else set()
            self._current = set()
        if not 0.0 <= age < period:
            # Also if the clock was set back: the recorded proofs then stay for one more period.
            self._since = now
        if proof in self._current or proof in self._previous:
            return PossessionFault.REPLAYED
        return PossessionFault.FULL if len(self) >= settings.replays else None

    def add(self, proof: bytes) -> None:
        """Record a proof, directly after `check`."""
        self._current.add(proof)

    def __len__(self) -> int:
        return len(self._current) + len(self._previous)


@dataclass(frozen=True, slots=True, eq=False)
class ProofState:
    """State that outlives a request: the proofs that were used, and the number of wrong signatures by address."""

    used: ReplayCache
    wrong: ClientLimiter


def proof_id(thumbprint: str, jti: str) -> bytes:
    """Return the identifier under which a proof is recorded: a digest of its key's thumbprint and its `jti`."""
    return blake2b(thumbprint.encode() + b"\0" + jti.encode("utf-8", "surrogatepass"), digest_size=16).digest()
