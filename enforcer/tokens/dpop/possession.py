"""Proof of possession: that the sender of a bound token has its certificate or key (RFC 8705 §3, RFC 9449 §7). Pure.

1. `Proven` is made only here, for one token, if the certificate or key is the one that the token is bound to.
2. A certificate-bound token comes as a bearer token, a key-bound token with a DPoP proof, and in no other way.
3. No cryptography is loaded, since most tokens are not bound. `tokens.dpop.proof` verifies proofs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import final

from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.dpop.binding import BindingKind, binding


class PossessionFault(StrEnum):
    """Why possession is not proven. The values appear in logs."""

    UNBOUND = "not_bound_to_a_key"  # but it came with a DPoP proof
    UNKNOWN = "unknown_binding"
    SCHEME = "key_bound_token_as_bearer"
    CERTIFICATE = "not_the_tokens_certificate"  # or no certificate
    KEY = "not_the_tokens_key"
    MISSING = "missing_proof"
    SEVERAL = "several_proofs"
    SIZE = "too_large"
    MALFORMED = "malformed_proof"  # not a JWS, or a claim is missing
    TYPE = "wrong_typ"
    ALGORITHM = "wrong_algorithm"
    UNUSABLE_KEY = "unusable_key"
    SIGNATURE = "wrong_signature"
    METHOD = "wrong_method"
    URL = "wrong_url"
    TIME = "not_fresh"
    TOKEN = "other_token"  # noqa: S105 - not a password
    REPLAYED = "replayed"
    FLOOD = "too_many_wrong_signatures"  # from this address, so this proof was not verified
    FULL = "too_many_proofs"  # our limit; nothing is wrong with the proof


@final
class Proven:
    """The sender proved possession for the token with this result."""

    __slots__ = ("token",)

    def __init__(self, token: ActiveToken) -> None:
        self.token = token


def with_certificate(token: ActiveToken, thumbprint: str) -> Proven | PossessionFault:
    """Check a bound token that came as a bearer token, by the sender's client certificate.

    `thumbprint` is the certificate's SHA-256, base64url (RFC 8705 §3.1); empty if there was none.
    """
    bound = binding(token.claims)
    if bound.kind is BindingKind.CERTIFICATE:
        return Proven(token) if thumbprint == bound.thumbprint else PossessionFault.CERTIFICATE
    # RFC 9449 §7.2: a key-bound token is never accepted as a bearer token, whatever comes with it
    return PossessionFault.SCHEME if bound.kind is BindingKind.KEY else PossessionFault.UNKNOWN


def with_key(token: ActiveToken, thumbprint: str) -> Proven | PossessionFault:
    """Check a token that came with a DPoP proof, by the thumbprint of the proof's key (RFC 9449 §6.1)."""
    bound = binding(token.claims)
    if bound.kind is BindingKind.KEY:
        return Proven(token) if thumbprint == bound.thumbprint else PossessionFault.KEY
    return PossessionFault.UNKNOWN if bound.kind is BindingKind.UNKNOWN else PossessionFault.UNBOUND
