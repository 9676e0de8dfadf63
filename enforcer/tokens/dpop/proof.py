"""Verification of DPoP proofs (RFC 9449): that the sender of a token has the key that it is bound to. Pure.

1. A proof is for one request and one token: it names method, URL and token, and is accepted once.
2. A proof must be fresh, and signed with the key that the token is bound to.
3. The URL is compared with what the enforcer knows of itself, not with what the sender says (`origins`).
4. The signature is verified last, and only with that key: any other fault costs no cryptography. A client may send only
   as many wrong signatures as unseen tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from enforcer.errors import MalformedRequestError
from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.documents.strict_json import read_object
from enforcer.tokens.dpop.origins import Origin, parse_url
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_key
from enforcer.tokens.dpop.proof_state import ProofState
from enforcer.tokens.dpop.replay_cache import holder_of, proof_id
from enforcer.tokens.jwt.jwks import Key, read_key, thumbprint
from enforcer.tokens.jwt.jws import HEADER_OBJECTS, media_type, parse, sha256_base64url
from enforcer.wire.target import read_path

RSA_BITS: Final = range(2048, 4097)
"""Sizes of RSA keys that may sign proofs. Larger keys protect nothing more, and cost us more for each proof."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProofRequest:
    """The request that a proof must be for: its method and token, and the URLs that it may have been sent to.

    Those are made of `origins` and the decoded path `segments`. `client` is the key of the client
    (`clients.client_key`), by which wrong signatures are counted.
    """

    method: bytes
    origins: Collection[Origin]
    segments: Sequence[bytes]
    token: bytes
    client: str


def check(
    proofs: Sequence[bytes],
    request: ProofRequest,
    active: ActiveToken,
    settings: ProofSettings,
    state: ProofState,
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
    if not isinstance(typ, str) or media_type(typ) != "dpop+jwt":
        return PossessionFault.TYPE
    if algorithm not in settings.algorithms:
        return PossessionFault.ALGORITHM
    try:
        claims = read_object(jws.payload, HEADER_OBJECTS)
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
    identifier, holder = proof_id(key_thumbprint, claims["jti"]), holder_of(active, key_thumbprint)
    fault = state.used.check(identifier, holder, claims["iat"], settings, state.share, now)
    if fault is not None:
        if fault is PossessionFault.FULL and len(state.used) < settings.replays:
            state.on_share_exceeded(request.client, now)
        return fault
    if state.wrong.wait(request.client, now):
        return PossessionFault.FLOOD
    known: Key | None = state.keys.get(key_thumbprint)
    key = read_key(jwk, rsa_bits=RSA_BITS, known=known)
    if key is None:
        return PossessionFault.UNUSABLE_KEY
    if not key.verifies(algorithm, jws.signed, jws.signature):
        return PossessionFault.SIGNATURE
    state.wrong.give_back(request.client)
    # Only now: a sender without the key must not use up the proofs of other senders, nor evict their keys.
    if known is None:
        state.keys[key_thumbprint] = key
    state.used.add(identifier, holder)
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
    if not _is_url_of(url, request):
        return PossessionFault.URL
    if not now - settings.max_age <= issued <= now + settings.clock_skew:
        return PossessionFault.TIME
    return None if token == sha256_base64url(request.token) else PossessionFault.TOKEN


def _is_url_of(text: str, request: ProofRequest) -> bool:
    """Return whether a URL is the request's (RFC 9449 §4.3): its path is read as the request's own was."""
    url = parse_url(text.encode()) if text.isascii() else None
    if url is None or url[0] not in request.origins:
        return False
    try:
        return read_path(url[1])[0] == request.segments
    except MalformedRequestError:
        return False
