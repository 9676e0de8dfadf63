"""Remembers DPoP proofs, so that each is accepted once (RFC 9449 §11.1). Pure.

Where no more can be remembered, none is accepted: a proof that was forgotten would pass as new.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.dpop.possession import PossessionFault
from enforcer.tokens.limiter import AddressLimiter


class ReplayCache:
    """Remembers proofs for at least as long as they would be accepted, whatever becomes of the configuration meanwhile.

    There are two sets, of the proofs of this while and of the one before, so that forgetting costs nothing.
    """

    __slots__ = ("_before", "_max_age", "_now", "_reaches", "_since")

    def __init__(self) -> None:
        self._since = 0.0
        self._max_age = float("inf")
        self._reaches = float("-inf")  # proofs that were issued before may have been used, and forgotten
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()

    def look(self, proof: bytes, issued: float, settings: ProofSettings, now: float) -> PossessionFault | None:
        """Tell whether a proof, by its `name`, was used before, may have been, or could not be remembered.

        It is not remembered yet. `issued` and `now` are seconds since the epoch.
        """
        if settings.max_age > self._max_age:
            self._reaches = now - self._max_age
        self._max_age = settings.max_age
        if issued < self._reaches:
            return PossessionFault.TIME
        lasts = settings.max_age + settings.clock_skew
        age = now - self._since
        if age >= lasts:
            self._before = self._now if age < 2 * lasts else set()
            self._now = set()
        if not 0.0 <= age < lasts:
            # Also where the clock was set back: what is here is then kept for a while more, and no longer.
            self._since = now
        if proof in self._now or proof in self._before:
            return PossessionFault.REPLAYED
        return PossessionFault.FULL if len(self) >= settings.replays else None

    def remember(self, proof: bytes) -> None:
        """Note that a proof is used, which was looked for just now."""
        self._now.add(proof)

    def __len__(self) -> int:
        return len(self._now) + len(self._before)


@dataclass(frozen=True, slots=True, eq=False)
class ProofState:
    """What is remembered of proofs: those that were used, and how many had a wrong signature, by address."""

    used: ReplayCache
    wrong: AddressLimiter


def name(thumbprint: str, jti: str) -> bytes:
    """Return what a proof is remembered by: its key's thumbprint and its identifier."""
    return blake2b(thumbprint.encode() + b"\0" + jti.encode("utf-8", "surrogatepass"), digest_size=16).digest()
