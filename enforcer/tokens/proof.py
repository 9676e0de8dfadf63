"""Checks that a token's holder has the key that it is bound to (RFC 9449, DPoP). Pure.

1. A proof is for one request and one token: method, URL and token are in it, and it is accepted once.
2. It is fresh, and its key is the one that the token names; any other key proves nothing.
3. Where no more proofs can be remembered, none is accepted: a proof seen before would pass as new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any, ClassVar, Final, final

from enforcer.tokens.binding import matches
from enforcer.tokens.jwks import read_key
from enforcer.tokens.jws import parse
from enforcer.tokens.jwt_settings import Algorithm
from enforcer.tokens.objects import read_object
from enforcer.units import CLOSED, Count, Seconds, SecondsOrZero


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSettings:
    """Which DPoP proofs are accepted (RFC 9449)."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    """Algorithms that a proof may be signed with, all of them asymmetric; a challenge names them."""
    max_age: Seconds = 60.0
    """How old a proof may be. Short, since it bounds how many must be remembered; clocks of devices differ, though."""
    clock_skew: SecondsOrZero = 15.0
    """How far the client's clock may be ahead. More than for a server, whose clock is better kept."""
    replays: Count = 300_000
    """Proofs remembered at most (about 100 B each), for up to twice as long as they are accepted; one more is refused.
    Bounds memory, and with it the proofs a second: to about 2,000 with the other defaults."""


class Fault(StrEnum):
    """Why a proof was refused. The values are log words."""

    MISSING = "missing_proof"
    SEVERAL = "several_proofs"
    MALFORMED = "malformed_proof"  # no JWS, or without what must be in it
    TYPE = "wrong_typ"
    ALGORITHM = "wrong_algorithm"
    KEY = "unusable_key"
    SIGNATURE = "wrong_signature"
    BINDING = "other_key_than_the_tokens"
    METHOD = "wrong_method"
    URL = "wrong_url"
    TIME = "not_fresh"
    TOKEN = "other_token"  # noqa: S105 - a log word
    REPLAYED = "replayed"
    FULL = "too_many_proofs"  # ours to answer for: nothing is wrong with the proof


@final
@dataclass(frozen=True, slots=True)
class Proven:
    """The holder of the token has the key that it is bound to."""


_PROVEN: Final = Proven()


class ReplayCache:
    """Remembers proofs for at least as long as they would be accepted. `now` is seconds since the epoch.

    There are two sets, of the proofs of this while and of the one before, so that forgetting costs nothing.
    """

    __slots__ = ("_before", "_most", "_now", "_since", "_while")

    def __init__(self, settings: ProofSettings) -> None:
        self._while = settings.max_age + settings.clock_skew
        self._most = settings.replays
        self._since = 0.0
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()

    def remember(self, thumbprint: str, jti: str, now: float) -> Fault | None:
        """Note that a proof is used; returns the fault where it was used before, or cannot be remembered."""
        digest = blake2b(thumbprint.encode() + b"\0" + jti.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        age = now - self._since
        if age >= self._while:
            self._before = self._now if age < 2 * self._while else set()
            self._now = set()
        if not 0.0 <= age < self._while:
            # Also where the clock was set back: what is here is then kept for a while more, and no longer.
            self._since = now
        if digest in self._now or digest in self._before:
            return Fault.REPLAYED
        if len(self) >= self._most:
            return Fault.FULL
        self._now.add(digest)
        return None

    def __len__(self) -> int:
        return len(self._now) + len(self._before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a proof must be for: the request's method and URL, as the client sees it, and the token it came with."""

    method: bytes
    url: str
    token: bytes


def check(
    proofs: Sequence[bytes],
    request: Request,
    thumbprint: str,
    settings: ProofSettings,
    replays: ReplayCache,
    now: float,
) -> Proven | Fault:
    """Check that a request comes from the holder of the key with this thumbprint (RFC 9449 §4.3, §7.1).

    `proofs` are the values of all DPoP fields; `thumbprint` is `cnf.jkt` of the token; `now` seconds since the epoch.
    """
    if len(proofs) != 1:
        return Fault.SEVERAL if proofs else Fault.MISSING
    jws = parse(proofs[0])
    if jws is None:
        return Fault.MALFORMED
    typ, algorithm = jws.header.get("typ"), jws.header.get("alg")
    # RFC 7515 §4.1.9: a media type, whose case does not matter
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != "dpop+jwt":
        return Fault.TYPE
    if algorithm not in settings.algorithms:
        return Fault.ALGORITHM
    key = read_key(jws.header.get("jwk"))
    if key is None:
        return Fault.KEY
    if key.thumbprint() != thumbprint:
        return Fault.BINDING
    if not key.verifies(algorithm, jws.signed, jws.signature):
        return Fault.SIGNATURE
    try:
        claims = read_object(jws.payload)
    except ValueError:
        return Fault.MALFORMED
    fault = _mismatch(claims, request, settings, now) or replays.remember(thumbprint, claims["jti"], now)
    return fault or _PROVEN


def _mismatch(claims: Mapping[str, Any], request: Request, settings: ProofSettings, now: float) -> Fault | None:
    identifier, issued = claims.get("jti"), claims.get("iat")
    method, url, token = claims.get("htm"), claims.get("htu"), claims.get("ath")
    if not isinstance(identifier, str) or not identifier or not isinstance(url, str) or not isinstance(token, str):
        return Fault.MALFORMED
    if not isinstance(issued, int | float) or isinstance(issued, bool):
        return Fault.MALFORMED
    if method != request.method.decode("latin-1"):
        return Fault.METHOD
    if (place := normal_url(url)) is None or place != normal_url(request.url):
        return Fault.URL
    if not now - settings.max_age <= issued <= now + settings.clock_skew:
        return Fault.TIME
    return None if matches(token, request.token) else Fault.TOKEN


# RFC 3986 §3.2: no user in the authority; what follows the path is not compared (RFC 9449 §4.3)
_URL = re.compile(r"(?is)(https?)://(\[[0-9a-f:.]+\]|[^/?#@:\[\]]+)(?::([0-9]{0,5}))?(/[^?#]*)?(?:[?#].*)?")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PORTS: Final = {"http": 80, "https": 443}


def normal_url(url: str) -> tuple[str, str, int, str] | None:
    """Return scheme, host, port and path of a URL, such that equal ones are equal (RFC 3986 §6.2.2, §6.2.3).

    None where it is no http URL. Dot segments stay: no request that has them gets this far.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme = found[1].lower()
    path = _ESCAPE.sub(_normal_escape, found[4] or "/")
    return scheme, found[2].lower(), int(found[3] or _PORTS[scheme]), path


def _normal_escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()
