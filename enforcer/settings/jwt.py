"""Accepted JWTs (RFC 7519), the keys that verify them, and accepted DPoP proofs (RFC 9449)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from enforcer.units import CLOSED, Bytes, Count, Seconds, SecondsOrZero, Switch

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]  # fmt: skip
"""RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2: all of them asymmetric; there is no other way to name one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtSettings:
    """Which signed tokens are accepted."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    """Algorithms that a token may be signed with, all of them asymmetric. These are what servers use; one that yours
    does not use is best left out."""
    any_typ: Switch = False
    """Also accept tokens whose `typ` is `JWT` or absent, for servers that do not write `at+jwt` (RFC 9068 §2.1). ID
    tokens of the same issuer look like that too, and not all say what they are: set the server's `audience`, or have
    rules ask for scopes."""
    clock_skew: SecondsOrZero = 5.0
    """How far the server's clock may be ahead: `nbf` and `iat` may lie so far in the future, since a token is used the
    moment it is issued. `exp` gets none: a token that ends is renewed before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """How long the keys of an authorization server are used."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    refresh: Seconds = 300.0
    """How often they are fetched, in the background: how late a key that the server withdrew is noticed."""
    max_age: Seconds = 4 * 3600.0
    """How long they serve while they cannot be fetched; then tokens are answered 503. More than `refresh`; about as
    long as tokens live that were issued before the outage."""
    pause: Seconds = 30.0
    """How long after a fetch a token with an unknown key starts no other. Bounds the load that made-up tokens make;
    a server that signs with a new key before it has published it for so long has its tokens refused meanwhile."""

    def __post_init__(self) -> None:
        if self.max_age <= self.refresh:
            raise ValueError("max_age must be more than refresh: keys would end before they are fetched anew")


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
