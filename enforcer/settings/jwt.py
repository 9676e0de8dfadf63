"""Accepted JWTs (RFC 7519), the keys that verify them, and accepted DPoP proofs (RFC 9449)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from enforcer.settings.connections.addresses import Origin
from enforcer.units import Bytes, Count, Seconds, SecondsOrZero, Section, Switch

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]  # fmt: skip
"""RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2; only asymmetric ones, so that no public key serves as an HMAC secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtSettings(Section):
    """Which JWTs are accepted."""

    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    """Accepted signature algorithms, all of them asymmetric. The default is what servers commonly use; remove those
    that your server does not use."""
    any_typ: Switch = False
    """Also accept tokens whose `typ` is `JWT` or absent, for servers that do not write `at+jwt` (RFC 9068 §2.1). ID
    tokens of the same issuer look like that too, and not all can be told apart: set the server's `audience`, or require
    scopes in the rules."""
    clock_skew: SecondsOrZero = 5.0
    """Allowance for a server's clock that is ahead: `nbf` and `iat` may be this far in the future, because tokens are
    used right after they are issued. `exp` gets no allowance: clients renew tokens before they expire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings(Section):
    """Refresh and lifetime of an authorization server's keys."""

    refresh: Seconds = 300.0
    """Interval at which the keys are fetched in the background: the delay until a withdrawn key is noticed."""
    max_age: Seconds = 4 * 3600.0
    """Lifetime of keys that cannot be fetched again; after that, tokens are answered 503. Must be more than `refresh`;
    useful values are about the lifetime of tokens that were issued before the outage."""
    pause: Seconds = 5.0
    """Time after a fetch in which a token with an unknown key ID or a wrong signature causes no other. Bounds the load
    caused by invented tokens. If the fetch was caused by another client, such a token waits for the next one. Otherwise
    it is refused, so a server should publish a key for this long before it signs with it."""
    waiting: Count = 1000
    """Maximum number of tokens that wait for that next fetch; each client has a share (`limits.client_share`). More are
    refused at once. Bounds memory."""

    def __post_init__(self) -> None:
        if self.max_age <= self.refresh:
            raise ValueError("max_age must be more than refresh, or keys would expire before they are fetched again")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSettings(Section):
    """Which DPoP proofs are accepted (RFC 9449)."""

    challenge: Switch = False
    """Whether a 401 also offers the DPoP scheme, beside Bearer, to clients that did not use it (RFC 9449 §7.1). A token
    that came with the DPoP scheme, or is bound to a key, is always verified and challenged with that scheme."""
    origins: tuple[Origin, ...] = ()
    """Origins at which clients reach the enforcer, such as `https://api.example.org`: scheme, host, and port if it is
    not the default one. The URL in a proof (`htu`) must have one of them, and if Host, or a trusted proxy's
    X-Forwarded-Host, names the host of one, then that one. Without this, a client's Host would decide, and a proof that
    was made for another server could be used here. Default: only localhost and loopback addresses, so that trying it
    needs no setting."""
    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    """Accepted signature algorithms of proofs, all of them asymmetric; a challenge lists them."""
    max_age: Seconds = 60.0
    """Maximum age of a proof. Short, because it bounds how many proofs must be remembered; but long enough for
    differing device clocks."""
    clock_skew: SecondsOrZero = 15.0
    """Allowance for a client's clock that is ahead. More than for servers, because device clocks are less exact."""
    size: Bytes = 8192
    """Maximum size of a proof. Bounds the work of reading one."""
    replays: Count = 300_000
    """Maximum number of remembered proofs (about 100 B each), each kept for up to twice the time that it is accepted;
    if the table is full, requests with a proof are answered 503. Bounds memory, and so the proofs per second: to
    about 2,000 with the other defaults. One holder of tokens, a subject at a client, may have `limits.client_share` of
    it, less while others have some."""
    keys: Bytes = 4 * 1024**2
    """Memory for the imported keys of proofs, about 6 KiB each; the least recently used are imported again. Saves
    work. RSA keys of more than 4,096 bits are not accepted, because each proof would cost more."""

    def __post_init__(self) -> None:
        if not self.algorithms:
            raise ValueError("algorithms: expected at least one, or no proof could be accepted")
