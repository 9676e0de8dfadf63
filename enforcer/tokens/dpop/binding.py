"""The binding of a sender-constrained token (RFC 7800 `cnf`), so that a stolen token is useless. Pure.

A binding that cannot be checked here does not count as absent: such a token is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class BindingKind(Enum):
    """The way in which the holder of a token proves possession."""

    NONE = "none"  # no proof: a bearer token
    CERTIFICATE = "x5t#S256"  # RFC 8705 §3.1: by the client certificate of the TLS connection
    KEY = "jkt"  # RFC 9449 §6.1: by a DPoP proof
    UNKNOWN = "unknown"  # by an unsupported method, or several


@dataclass(frozen=True, slots=True)
class Binding:
    """The binding of a token. `thumbprint` is the SHA-256 of a certificate or key, base64url; else empty."""

    kind: BindingKind
    thumbprint: str = ""


UNBOUND: Final = Binding(BindingKind.NONE)
UNKNOWN: Final = Binding(BindingKind.UNKNOWN)


def binding(claims: Mapping[str, Any]) -> Binding:
    """Return the binding in a token's claims or introspection response (RFC 8705 §3.2, RFC 9449 §6.2)."""
    confirmation = claims.get("cnf")
    if confirmation is None:
        return UNBOUND
    for kind in (BindingKind.CERTIFICATE, BindingKind.KEY):
        # It must be the only member, since each member needs its own proof.
        if isinstance(confirmation, dict) and confirmation.keys() == {kind.value}:
            thumbprint = confirmation[kind.value]
            return Binding(kind, thumbprint) if isinstance(thumbprint, str) and thumbprint else UNKNOWN
    return UNKNOWN
