"""JWK sets: the public keys of an authorization server (RFC 7517), each with the algorithms that it may be used with.

1. Only keys that verify signatures are read. Keys for another purpose are left out: symmetric keys, those for
   encryption, and keys of a type or curve that is not known here.
2. A key that is for signatures but cannot be used is a fault of the set. It is reported, since a token that names it is
   not to blame.
3. Deviations that leave only one reading are accepted: null members, padding, base64 instead of base64url, numbers with
   too many or too few leading zeros, a certificate (`x5c`) instead of the numbers, and the same key twice.
4. A key fits an algorithm by its type and curve. If the key names an algorithm, it fits only that one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, OKPKey, RSAKey

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.documents.strict_json import read_document
from enforcer.tokens.jwt.jws import decode, encode, sha256_base64url
from enforcer.wire.callback import Callback

MAX_KEYS: Final = 100
"""Most keys for signatures in a set; the largest public sets have about ten. Bounds the work of reading it."""

# RFC 7518 §3.3 requires 2048 bits. Larger keys and exponents than these only cost time for each token.
RSA_BITS: Final = range(2048, 8193)
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
_TYPES: Final = tuple(_MEMBERS)
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# RFC 7518 §6.2.1.2: bytes of a coordinate
_BYTES: Final = {"P-256": 32, "P-384": 48, "P-521": 66}
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_URL_SAFE: Final = str.maketrans("+/", "-_")


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A public key, and the algorithms that it may be used with. Equal keys have equal thumbprints (RFC 7638)."""

    kid: str | None
    algorithms: frozenset[str]
    material: RSAKey | ECKey | OKPKey
    thumbprint: str

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Return whether the signature is valid for this key, by an algorithm that it may be used with."""
        return algorithm in self.algorithms and _MODELS[algorithm].verify(signed, signature, self.material)


@dataclass(frozen=True, slots=True)
class UnusableKey:
    """A key for signatures that cannot be used, and why; `kid` is None if it has no name that a token could give."""

    kid: str | None
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """The signing keys of an authorization server; `unusable` are the faults of the set."""

    keys: tuple[Key, ...]
    unusable: tuple[UnusableKey, ...] = ()

    def fitting(self, kid: str | None, algorithm: str) -> list[Key]:
        """Return the different keys that may have signed a token with this `kid` and algorithm.

        `kid` is a hint (RFC 7515 §4.1.4): without one in the token every key fits; if no key has that one, those
        without any do.
        """
        if kid is not None and not self.names(kid):
            kid, keys = None, [key for key in self.keys if key.kid is None]
        else:
            keys = [key for key in self.keys if kid is None or key.kid == kid]
        return list({key.thumbprint: key for key in keys if algorithm in key.algorithms}.values())

    def names(self, kid: str) -> bool:
        """Return whether a usable key has this `kid`."""
        return any(key.kid == kid for key in self.keys)

    def ambiguous(self, algorithms: Collection[str]) -> dict[str | None, int]:
        """Return how many different keys of a name may have signed a token; only names with more than one."""
        kids = dict.fromkeys(key.kid for key in self.keys)
        counts = {
            kid: max(
                len({key.thumbprint for key in self.keys if key.kid == kid and alg in key.algorithms})
                for alg in algorithms
            )
            for kid in kids
        }
        return {kid: count for kid, count in counts.items() if count > 1}

    def unusable_key(self, kid: str) -> UnusableKey | None:
        """Return the unusable key with this `kid`."""
        return next((key for key in self.unusable if key.kid == kid), None)


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
    """Read a JWK set (RFC 7517 §5); raises IntrospectionError (malformed) if no key of it verifies signatures."""
    members = read_document(body, "its keys").get("keys")
    if not isinstance(members, list):
        raise _malformed("keys is not a list")
    keys: dict[tuple[str | None, frozenset[str], str], Key] = {}
    unusable: list[UnusableKey] = []
    count = 0
    for jwk in members:
        key = _read(jwk)
        count += key is not None
        if count > MAX_KEYS:
            raise _malformed(f"more than {MAX_KEYS} keys for signatures")
        if isinstance(key, UnusableKey):
            unusable.append(key)
        elif key is not None:
            keys[key.kid, key.algorithms, key.thumbprint] = key
    if not keys:
        why = "".join(f"; {describe(key)}" for key in unusable[:3])
        raise _malformed(f"none of its keys can verify a signature{why}")
    return KeySet(tuple(keys.values()), tuple(unusable))


def describe(key: UnusableKey) -> str:
    """Return a text for people about an unusable key."""
    name = "a key without kid" if key.kid is None else f"key {key.kid[:64]!r}"
    return f"{name}: {key.why}"


def read_key(members: object, *, rsa_bits: range = RSA_BITS, known: Key | None = None) -> Key | None:
    """Read a public JWK that verifies signatures (RFC 7517 §4); None if it is anything else.

    `rsa_bits` are the accepted sizes of RSA keys; `known` is the key that a JWK with the same thumbprint gave.
    """
    key = _read(members, rsa_bits, known)
    return key if isinstance(key, Key) else None


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


def _read(jwk: object, rsa_bits: range = RSA_BITS, known: Key | None = None) -> Key | UnusableKey | None:
    """Read a JWK, as `read_key`; None if it is for another purpose than verifying signatures."""
    if not isinstance(jwk, dict):
        return None
    members = {name: value for name, value in jwk.items() if value is not None}
    kid = members.get("kid")
    name = kid if isinstance(kid, str) else None
    if not _may_verify(members):
        return None
    try:
        members |= _certified(members)
        algorithms = _algorithms(members)
        if not algorithms:
            return None
        needed = _public_members(members, rsa_bits)
    except ValueError as error:
        return UnusableKey(name, str(error))
    try:
        material = _import(needed) if known is None else known.material
        return Key(name, algorithms, material, str(thumbprint(needed)))
    except (JoseError, ValueError):
        return UnusableKey(name, "its numbers are not those of a key")


def _algorithms(members: Mapping[str, Any]) -> frozenset[str]:
    """Return the algorithms that a key fits by its type, its curve and its `alg`."""
    kind, named = members.get("kty"), members.get("alg")
    curve = None if kind == "RSA" else members.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return frozenset()
    fitting = _ALGORITHMS.get((kind, curve), frozenset())
    return fitting if named is None else frozenset(algorithm for algorithm in fitting if algorithm == named)


def _may_verify(members: Mapping[str, Any]) -> bool:
    # RFC 7517 §4.2, §4.3
    operations = members.get("key_ops")
    return members.get("use") in (None, "sig") and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )


def _public_members(members: Mapping[str, Any], rsa_bits: range) -> dict[str, str]:
    """Return the members of a public key (RFC 7518 §6), each in its canonical spelling; raises ValueError."""
    kind: str = members["kty"]
    if not _PRIVATE.isdisjoint(members):
        raise ValueError("its private part is published, so that its signatures prove nothing")
    for name in _MEMBERS[kind]:
        if name not in members:
            raise ValueError(f"{name} is missing")
    for name in ("kid", *_MEMBERS[kind]):
        if not isinstance(members.get(name, ""), str):
            raise ValueError(f"{name} is not a string")  # noqa: TRY004 - the input is wrong, not the call
    if kind == "RSA":
        modulus, exponent = (int.from_bytes(_octets(name, members[name]), "big") for name in ("n", "e"))
        if modulus.bit_length() not in rsa_bits:
            bits = f"{rsa_bits.start} to {rsa_bits.stop - 1}"
            raise ValueError(f"its modulus has {modulus.bit_length()} bits; {bits} are accepted")
        if exponent.bit_length() > _EXPONENT_BITS:
            raise ValueError(f"its exponent has {exponent.bit_length()} bits; at most {_EXPONENT_BITS} are accepted")
        return {"kty": kind, "n": _encode(modulus), "e": _encode(exponent)}
    curve: str = members["crv"]
    size = _BYTES.get(curve, 0)
    coordinates = {name: encode(_octets(name, members[name], size)).decode() for name in _MEMBERS[kind][2:]}
    return {"kty": kind, "crv": curve, **coordinates}


def _certified(members: Mapping[str, Any]) -> dict[str, str]:
    """Return the members of the key in the first certificate of `x5c` (RFC 7517 §4.7) if the JWK has none itself.

    The chain is not verified: a key is trusted because of where the set was fetched from. Raises ValueError.
    """
    chain, kind = members.get("x5c"), members.get("kty")
    if chain is None or kind not in _TYPES or any(name in members for name in ("n", "e", "x", "y")):
        return {}
    try:
        key = x509.load_der_x509_certificate(base64.b64decode(chain[0])).public_key()
    except Exception:  # noqa: BLE001 - the value may be anything, and the library raises many exceptions
        raise ValueError("x5c is not a list of certificates") from None
    certified = _members_of(key)
    if certified.get("kty") != kind:
        raise ValueError("its certificate is for a key of another type")
    return certified


def _members_of(key: object) -> dict[str, str]:
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _encode(numbers.n), "e": _encode(numbers.e)}
    if isinstance(key, EllipticCurvePublicKey):
        point = key.public_numbers()
        curve = _CURVES.get(key.curve.name, key.curve.name)
        return {"kty": "EC", "crv": curve, "x": _encode(point.x), "y": _encode(point.y)}
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_bytes_raw()).decode()}
    return {}


def _octets(name: str, text: str, size: int = 0) -> bytes:
    """Decode a member, also from base64 with padding. With a `size`, leading zeros are removed or added to get it."""
    try:
        octets = decode(text.rstrip("=").translate(_URL_SAFE).encode())
    except ValueError:
        raise ValueError(f"{name} is not base64url") from None
    return octets.lstrip(b"\0").rjust(size, b"\0") if size else octets


def _encode(number: int) -> str:
    return encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()


def _import(members: Mapping[str, str]) -> RSAKey | ECKey | OKPKey:
    # The library gets only the members of a public key, and no other input.
    needed: dict[str, str | list[str]] = {**members}
    if members["kty"] == "EC":
        return ECKey.import_key(needed)
    return OKPKey.import_key(needed) if members["kty"] == "OKP" else RSAKey.import_key(needed)


def _malformed(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its keys: {detail}")
