"""Verification of DPoP proofs (RFC 9449): that the sender of a token has the key that it is bound to. Pure.

1. A proof is for one request and one token: it names method, URL and token, and is accepted once.
2. A proof must be fresh, and signed with the key that the token is bound to.
3. The signature is verified last, and only with that key: any other fault costs no cryptography. A client address may
   send only as many wrong signatures as unseen tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_key
from enforcer.tokens.dpop.replay_cache import ProofState, proof_id
from enforcer.tokens.jwt.jwks import read_key, thumbprint
from enforcer.tokens.jwt.jws import parse, sha256_base64url
from enforcer.tokens.strict_json import read_object


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProofRequest:
    """The request that a proof must be for: the request's method, its URL as the client sees it, and its token.

    `client` is the client's key (`clients.client_key`), by which wrong signatures are counted.
    """

    method: bytes
    url: str
    token: bytes
    client: str


def check(
    proofs: Sequence[bytes],
    request: ProofRequest,
    active: ActiveToken,
    settings: ProofSettings,
    memory: ProofState,
    now: float,
) -> Proven | PossessionFault:
    """Check that a request comes from the holder of the key that its token is bound to (RFC 9449 §4.3, §7.1).

    `proofs` are the values of all DPoP fields, `active` is the verified token, `now` seconds since the epoch.
    """
    if len(proofs) != 1:
        return PossessionFault.SEVERAL if proofs else PossessionFault.MISSING
    if len(proofs[0]) > settings.size:
        return PossessionFault.SIZE
    jws = parse(proofs[0])
    if jws is None:
        return PossessionFault.MALFORMED
    typ, algorithm, jwk = (jws.header.get(member) for member in ("typ", "alg", "jwk"))
    # RFC 7515 §4.1.9: a media type, case-insensitive
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != "dpop+jwt":
        return PossessionFault.TYPE
    if algorithm not in settings.algorithms:
        return PossessionFault.ALGORITHM
    try:
        claims = read_object(jws.payload)
    except ValueError:
        return PossessionFault.MALFORMED
    key_thumbprint = thumbprint(jwk)
    if key_thumbprint is None:
        return PossessionFault.UNUSABLE_KEY
    proven = with_key(active, key_thumbprint)
    if not isinstance(proven, Proven):
        return proven
    fault = _mismatch(claims, request, settings, now)
    if fault is not None:
        return fault
    identifier = proof_id(key_thumbprint, claims["jti"])
    fault = memory.used.check(identifier, claims["iat"], settings, now)
    if fault is not None:
        return fault
    if memory.wrong.wait(request.client, now):
        return PossessionFault.FLOOD
    key = read_key(jwk)
    if key is None:
        return PossessionFault.UNUSABLE_KEY
    if not key.verifies(algorithm, jws.signed, jws.signature):
        return PossessionFault.SIGNATURE
    memory.wrong.give_back(request.client)
    # Only now: a sender without the key must not use up the proofs of other senders.
    memory.used.add(identifier)
    return proven


def _mismatch(
    claims: Mapping[str, Any], request: ProofRequest, settings: ProofSettings, now: float
) -> PossessionFault | None:
    identifier, issued = claims.get("jti"), claims.get("iat")
    method, url, token = claims.get("htm"), claims.get("htu"), claims.get("ath")
    if not isinstance(identifier, str) or not identifier or not isinstance(url, str) or not isinstance(token, str):
        return PossessionFault.MALFORMED
    if not isinstance(issued, int | float) or isinstance(issued, bool):
        return PossessionFault.MALFORMED
    if method != request.method.decode("latin-1"):
        return PossessionFault.METHOD
    if (normalized := normal_url(url)) is None or normalized != normal_url(request.url):
        return PossessionFault.URL
    if not now - settings.max_age <= issued <= now + settings.clock_skew:
        return PossessionFault.TIME
    return None if token == sha256_base64url(request.token) else PossessionFault.TOKEN


# RFC 3986 §3.2, without userinfo; query and fragment are not compared (RFC 9449 §4.3)
_URL = re.compile(r"(?is)(https?)://(\[[0-9a-f:.]+\]|[^/?#@:\[\]]+)(?::([0-9]{0,5}))?(/[^?#]*)?(?:[?#].*)?")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PORTS: Final = {"http": 80, "https": 443}


def normal_url(url: str) -> tuple[str, str, int, str] | None:
    """Return scheme, host, port and path of a URL, normalized for comparison (RFC 3986 §6.2.2, §6.2.3).

    None if it is not an http URL. Dot segments stay: requests with them are refused earlier.
    """
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme = match[1].lower()
    path = _ESCAPE.sub(_normal_escape, match[4] or "/")
    return scheme, match[2].lower(), int(match[3] or _PORTS[scheme]), path


def _normal_escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()
