"""JWK sets: the public keys of an authorization server (RFC 7517), each with the algorithms that it may be used with.

1. Only keys that verify signatures are read: no symmetric keys, no encryption keys, and no keys whose private part was
   published, since their signatures prove nothing.
2. A key fits an algorithm by its type and curve. If the key names an algorithm, it fits only that one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, OKPKey, RSAKey

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.jwt.jws import decode, sha256_base64url
from enforcer.tokens.strict_json import read_document
from enforcer.wire.callback import Callback

MAX_KEYS: Final = 100
"""Most keys in a set; the largest public sets have about ten. Bounds the work of reading it."""

# RFC 7518 §3.3 requires 2048 bits. Larger keys and exponents than these only cost time for each token.
_RSA_BITS: Final = range(2048, 8193)
_EXPONENT_BITS: Final = 32

_ALGORITHMS: Final[Mapping[tuple[str, str | None], frozenset[str]]] = {
    ("RSA", None): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),
}
_MODELS: Final = {model.name: model for model in JWS_ALGORITHMS}
# RFC 7518 §6: the members of a public key, and those that only a private key has
_MEMBERS: Final = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A public key, and the algorithms that it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    material: RSAKey | ECKey | OKPKey

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Return whether the signature is valid for this key, by an algorithm that it may be used with."""
        return algorithm in self.algorithms and _MODELS[algorithm].verify(signed, signature, self.material)


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The signing keys of an authorization server."""

    keys: tuple[Key, ...]

    def fitting(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the keys with this `kid` that fit an algorithm; without a `kid`, all keys that fit it."""
        return [key for key in self.keys if algorithm in key.algorithms and (kid is None or key.kid == kid)]

    def knows(self, kid: str) -> bool:
        """Return whether a key has this `kid`."""
        return any(key.kid == kid for key in self.keys)


class KeySource(Protocol):
    """The keys of an authorization server, kept current: a `RemoteDocument`."""

    @property
    def current(self) -> KeySet | None:
        """The last keys that were fetched."""

    def refresh(self, callback: Callback[KeySet | IntrospectionError]) -> KeySet | IntrospectionError | None:
        """Get newer keys than those."""

    def close(self) -> None:
        """Stop refreshing."""


def parse(body: bytes) -> KeySet:
    """Read a JWK set (RFC 7517 §5), without keys that verify no signatures; raises IntrospectionError (malformed)."""
    members = read_document(body, "its keys").get("keys")
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise _malformed(f"keys is not a list of at most {MAX_KEYS}")
    keys = tuple(key for jwk in members if (key := read_key(jwk)) is not None)
    if not keys:
        raise _malformed("none of its keys can verify a signature")
    return KeySet(keys)


def read_key(members: object) -> Key | None:
    """Read a public JWK that verifies signatures (RFC 7517 §4); None if it is anything else."""
    if not isinstance(members, dict) or not _PRIVATE.isdisjoint(members):
        return None
    kid, named = members.get("kid"), members.get("alg")
    fitting = _fitting(members)
    if named is not None:
        fitting = frozenset(algorithm for algorithm in fitting if algorithm == named)
    material = _material(members) if fitting and _may_verify(members) else None
    if material is None or not isinstance(kid, str | None):
        return None
    return Key(kid, fitting, material)


def thumbprint(members: object) -> str | None:
    """Return the SHA-256 thumbprint of a JWK, base64url (RFC 7638 §3); None if a member of a key is missing.

    Equal keys have equal thumbprints. The key itself is not checked.
    """
    if not isinstance(members, dict):
        return None
    kind = members.get("kty")
    names = _MEMBERS.get(kind, ()) if isinstance(kind, str) else ()
    needed = {name: value for name in sorted(names) if isinstance(value := members.get(name), str)}
    if not needed or len(needed) != len(names):
        return None
    return sha256_base64url(json.dumps(needed, separators=(",", ":")).encode())


def _fitting(members: Mapping[str, Any]) -> frozenset[str]:
    kind, curve = members.get("kty"), members.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return frozenset()
    return _ALGORITHMS.get((kind, curve), frozenset())


def _may_verify(members: Mapping[str, Any]) -> bool:
    # RFC 7517 §4.2, §4.3
    operations = members.get("key_ops")
    return members.get("use") in (None, "sig") and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )


def _material(members: Mapping[str, Any]) -> RSAKey | ECKey | OKPKey | None:
    kind = members["kty"]
    # The library gets only the members of a public key, and no other input.
    needed: dict[str, str | list[str]] = {
        name: value for name in _MEMBERS[kind] if isinstance(value := members.get(name), str)
    }
    if len(needed) != len(_MEMBERS[kind]):
        return None
    try:
        if kind == "EC":
            return ECKey.import_key(needed)
        if kind == "OKP":
            return OKPKey.import_key(needed)
        modulus, exponent = (int.from_bytes(decode(members[name].encode()), "big").bit_length() for name in "ne")
        return RSAKey.import_key(needed) if modulus in _RSA_BITS and exponent <= _EXPONENT_BITS else None
    except (JoseError, ValueError):
        return None


def _malformed(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its keys: {detail}")
