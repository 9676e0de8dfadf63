"""Whether whoever sends a bound token has what it is bound to (RFC 8705 §3, RFC 9449 §7). Pure.

1. `Proven` is made here alone, for one answer, where what was shown is what the token is bound to.
2. A token is shown in the way that it is bound: with a certificate as a bearer token, with a key by a DPoP proof.
3. No cryptography is loaded: most tokens are bound to nothing. What verifies a proof is `tokens.proof`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import final

from enforcer.tokens.dpop.binding import BindingKind, binding
from enforcer.tokens.introspection.response import ActiveToken


class PossessionFault(StrEnum):
    """Why possession is not shown. The values are log words."""

    UNBOUND = "not_bound_to_a_key"  # it came with a DPoP proof
    UNKNOWN = "unknown_binding"
    SCHEME = "key_bound_token_as_bearer"
    CERTIFICATE = "not_the_tokens_certificate"  # or none
    KEY = "not_the_tokens_key"
    MISSING = "missing_proof"
    SEVERAL = "several_proofs"
    SIZE = "too_large"
    MALFORMED = "malformed_proof"  # no JWS, or without what must be in it
    TYPE = "wrong_typ"
    ALGORITHM = "wrong_algorithm"
    UNUSABLE_KEY = "unusable_key"
    SIGNATURE = "wrong_signature"
    METHOD = "wrong_method"
    URL = "wrong_url"
    TIME = "not_fresh"
    TOKEN = "other_token"  # noqa: S105 - a log word
    REPLAYED = "replayed"
    FLOOD = "too_many_wrong_signatures"  # from this address, so that this one was not looked at
    FULL = "too_many_proofs"  # ours to answer for: nothing is wrong with the proof


@final
class Proven:
    """The holder of the token that has this answer showed what it is bound to."""

    __slots__ = ("answer",)

    def __init__(self, answer: ActiveToken) -> None:
        self.answer = answer


def with_certificate(answer: ActiveToken, thumbprint: str) -> Proven | PossessionFault:
    """Judge a bound token that came as a bearer token, by the certificate that its sender showed.

    `thumbprint` is the certificate's SHA-256, base64url (RFC 8705 §3.1); empty where none was shown.
    """
    bound = binding(answer.claims)
    if bound.kind is BindingKind.CERTIFICATE:
        return Proven(answer) if thumbprint == bound.thumbprint else PossessionFault.CERTIFICATE
    # RFC 9449 §7.2: a token that is bound to a key is never taken as a bearer token, whatever comes with it
    return PossessionFault.SCHEME if bound.kind is BindingKind.KEY else PossessionFault.UNKNOWN


def with_key(answer: ActiveToken, thumbprint: str) -> Proven | PossessionFault:
    """Judge a token that came with a DPoP proof, by the proof's key: its SHA-256, base64url (RFC 9449 §6.1)."""
    bound = binding(answer.claims)
    if bound.kind is BindingKind.KEY:
        return Proven(answer) if thumbprint == bound.thumbprint else PossessionFault.KEY
    return PossessionFault.UNKNOWN if bound.kind is BindingKind.UNKNOWN else PossessionFault.UNBOUND
