"""What is accepted of DPoP proofs; apart from what verifies them, whose cryptography is loaded only where used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from enforcer.tokens.jwt_settings import Algorithm
from enforcer.units import CLOSED, Bytes, Count, Seconds, SecondsOrZero, Switch


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSettings:
    """Which DPoP proofs are accepted (RFC 9449)."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    challenge: Switch = False
    """Whether a 401 offers the DPoP scheme to whoever did not use it, beside Bearer (RFC 9449 §7.1). A token that came
    with the DPoP scheme, or is bound to a key, is judged and answered by it in any case."""
    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    """Algorithms that a proof may be signed with, all of them asymmetric; a challenge names them."""
    max_age: Seconds = 60.0
    """How old a proof may be. Short, since it bounds how many must be remembered; clocks of devices differ, though."""
    clock_skew: SecondsOrZero = 15.0
    """How far the client's clock may be ahead. More than for a server, whose clock is better kept."""
    size: Bytes = 8192
    """Size of a proof at most. Bounds the work of reading one."""
    replays: Count = 300_000
    """Proofs remembered at most (about 100 B each), for up to twice as long as they are accepted; with one more it is
    503. Bounds memory, and with it the proofs a second: to about 2,000 with the other defaults."""

    def __post_init__(self) -> None:
        if not self.algorithms:
            raise ValueError("algorithms: without one, no proof could be accepted")
