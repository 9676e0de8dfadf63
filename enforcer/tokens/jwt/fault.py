"""Why a JWT was rejected. Without cryptography, since decisions, logs and tools name it too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from enforcer.tokens.introspection.response import InactiveToken


class JwtFault(StrEnum):
    """Why a JWT was rejected. The values are metric labels."""

    MALFORMED = "malformed"
    TYPE = "wrong_typ"
    ALGORITHM = "wrong_algorithm"
    KEY = "unknown_key"
    SIGNATURE = "wrong_signature"
    CLAIMS = "malformed_claims"
    NO_EXPIRY = "missing_exp"
    ISSUER = "wrong_issuer"
    AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"


EXPLANATIONS: Final[Mapping[JwtFault, str]] = {
    JwtFault.MALFORMED: "it is not a signed JWT, or needs an extension (crit) that is not supported",
    JwtFault.TYPE: "its typ is not at+jwt, or its claims say that it is an ID or refresh token; see jwt.any_typ",
    JwtFault.ALGORITHM: "its alg is not one of jwt.algorithms",
    JwtFault.KEY: "the server publishes no key with its kid that fits its alg",
    JwtFault.SIGNATURE: "its signature is not by the server's key of its kid",
    JwtFault.CLAIMS: "a claim has a type or a value that it must not have",
    JwtFault.NO_EXPIRY: "it has no exp (RFC 9068 §2.2)",
    JwtFault.ISSUER: "its iss is not the server's issuer",
    JwtFault.AUDIENCE: "its aud is not our client_id",
    JwtFault.EXPIRED: "its exp is in the past",
    JwtFault.NOT_YET_VALID: "its nbf or iat is in the future by more than jwt.clock_skew",
}
"""The meaning of each fault, for people."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class RejectedToken(InactiveToken):
    """An inactive token, and why it was rejected."""

    fault: JwtFault
