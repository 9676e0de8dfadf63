"""Invariants of the documents of authorization servers: claims, key sets and metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from harness.readings import FOREIGN, NOW, introspected, signed, visible

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.identity import identity_value
from enforcer.tokens.introspection import metadata
from enforcer.tokens.introspection.response import InactiveToken
from enforcer.tokens.jwt import jwks
from enforcer.tokens.jwt.fault import JwtFault

_ISSUER = "https://as.example"


def of_claims(data: bytes) -> Iterator[str]:
    """Yield each difference between an introspected and a signed token with these claims."""
    response, jwt = introspected(data), signed(data)
    if isinstance(response, str):
        if jwt is not JwtFault.CLAIMS:
            yield f"introspected: {response}; signed: {jwt}"
    elif isinstance(response, InactiveToken):
        if jwt is not JwtFault.TYPE:
            yield f"introspected: no access token; signed: {jwt}"
    elif isinstance(jwt, ActiveToken):
        if visible(response) != visible(jwt):
            yield f"introspected: {visible(response)}; signed: {visible(jwt)}"
        if not response.expires > NOW:
            yield "an expired token is active"
        yield from _of_identity(jwt)
    elif jwt not in FOREIGN:
        yield f"introspected: active; signed: {jwt}"


def _of_identity(token: ActiveToken) -> Iterator[str]:
    for name, value in token.claims.items():
        field = identity_value(token, name)
        if name == "scope":
            read: Any = set(unquote(field.decode()).split(" ")) if field else set()
            value = set(token.scopes)
        elif field is None:
            read, value = None, value or None
        elif field.startswith(b"json:"):
            read = json.loads(field[5:])
        else:
            parts = [unquote(part, errors="surrogatepass") for part in field.decode().split(",")]
            read = parts if isinstance(value, list) else ",".join(parts)
        if read != value or type(read) is not type(value):
            yield f"claim {name} is written as {field!r}"
        if field is not None and (field.strip() != field or not field.decode("ascii").isprintable()):
            yield f"claim {name} is not one field value: {field!r}"


def of_keys(data: bytes) -> Iterator[str]:
    """Yield each property that a key set violates."""
    try:
        keys = jwks.parse(data)
    except IntrospectionError as error:
        if error.reason is not IntrospectionFailure.MALFORMED:
            yield f"a document is {error.reason}"
        return
    members = [jwk for jwk in json.loads(data)["keys"] if isinstance(jwk, dict)]
    private = [jwk for jwk in members if any(jwk.get(name) is not None for name in ("d", "p", "q", "k"))]
    if not 1 <= len(keys.keys) <= min(jwks.MAX_KEYS, len(members) - len(private)):
        yield f"{len(keys.keys)} keys of {len(members)}, {len(private)} of them private"
    for key in keys.keys:
        if key.kid not in [jwk.get("kid") for jwk in members]:
            yield f"a key of another name: {key.kid!r}"
        for algorithm in sorted(key.algorithms):
            if key.verifies(algorithm, b"signed", bytes(64)):
                yield f"{algorithm} verifies zeros"
            if key.thumbprint not in [fitting.thumbprint for fitting in keys.fitting(key.kid, algorithm)]:
                yield f"a key that no token can name: {key.kid!r}"
    for unusable in keys.unusable:
        if not jwks.describe(unusable).isprintable():
            yield f"a fault that is not printable: {unusable!r}"


def of_metadata(data: bytes) -> Iterator[str]:
    """Yield each property that metadata violates."""
    for mutual_tls in (False, True):
        try:
            document = metadata.parse(data, _ISSUER, mutual_tls=mutual_tls)
        except IntrospectionError as error:
            if error.reason is not IntrospectionFailure.MALFORMED:
                yield f"a document is {error.reason}"
            continue
        if json.loads(data)["issuer"] != _ISSUER:
            yield "the metadata of another issuer"
        for name, url in document.endpoints.items():
            parts = urlsplit(url)
            if parts.scheme != "https" or not parts.hostname or parts.username or parts.fragment or not url.isascii():
                yield f"{name} is {url!r}"


ORACLES: Final[Mapping[str, Callable[[bytes], Iterator[str]]]] = {
    "claims": of_claims,
    "keys": of_keys,
    "metadata": of_metadata,
}
"""The oracle of each kind of document."""


def of_document(kind: str, data: bytes) -> Iterator[str]:
    """Yield each property that a document violates; an exception violates one too."""
    try:
        yield from ORACLES[kind](data)
    except Exception as error:  # noqa: BLE001 - whatever it is, no document may raise it
        yield f"an exception: {error!r}"
