"""What a token is bound to (RFC 7800 `cnf`), so that whoever stole it cannot use it. Pure.

A binding that cannot be checked here is no absent one: such a token is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, Final

from enforcer.tokens.jwt.jws import encode


class BindingKind(Enum):
    """How a token's holder proves that it is theirs."""

    NONE = "none"  # whoever has it may use it
    CERTIFICATE = "x5t#S256"  # RFC 8705 §3.1: by the certificate of their TLS connection
    KEY = "jkt"  # RFC 9449 §6.1: by a DPoP proof
    UNKNOWN = "unknown"  # in a way that is not known here, or in several


@dataclass(frozen=True, slots=True)
class Binding:
    """What a token is bound to: `thumbprint` is that of a certificate or key, SHA-256, base64url; else empty."""

    kind: BindingKind
    thumbprint: str = ""


UNBOUND: Final = Binding(BindingKind.NONE)
UNKNOWN: Final = Binding(BindingKind.UNKNOWN)


def binding(claims: Mapping[str, Any]) -> Binding:
    """Return what a token is bound to, by its claims or by its introspection answer (RFC 8705 §3.2, RFC 9449 §6.2)."""
    confirmation = claims.get("cnf")
    if confirmation is None:
        return UNBOUND
    for kind in (BindingKind.CERTIFICATE, BindingKind.KEY):
        # Alone, since each member is one more thing to be proven.
        if isinstance(confirmation, dict) and confirmation.keys() == {kind.value}:
            thumbprint = confirmation[kind.value]
            return Binding(kind, thumbprint) if isinstance(thumbprint, str) and thumbprint else UNKNOWN
    return UNKNOWN


def digest(data: bytes) -> str:
    """Return the SHA-256 of some data, base64url: what names a certificate (DER, RFC 8705 §3.1) and a token
    (RFC 9449 §4.2 `ath`).
    """
    return encode(sha256(data).digest()).decode()
