"""The client that the enforcer is to an authorization server, and the endpoints that it needs there.

A key that has no use is a mistake like one that is missing: whoever wrote it means something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, assert_never

from enforcer.errors import FaultsError
from enforcer.secret import Secret
from enforcer.settings.addresses import parse_url
from enforcer.settings.authorization_server import AuthorizationServer, ClientAuthentication
from enforcer.tokens.introspection.client_authentication import (
    ImmediateAuthentication,
    secret_basic,
    secret_post,
    tls_client,
)
from enforcer.tokens.introspection.metadata import EndpointName, well_known_urls

if TYPE_CHECKING:
    from enforcer.tokens.introspection.jwt_introspection import ExpectedResponse

SecretMethod = Literal["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True, slots=True)
class SecretClient:
    """A client that shows a secret (RFC 6749 §2.3.1)."""

    client_id: str
    secret: Secret
    method: SecretMethod


@dataclass(frozen=True, slots=True)
class KeyClient:
    """A client that signs assertions (RFC 7523 §2.2)."""

    client_id: str
    key: Secret


@dataclass(frozen=True, slots=True)
class CertificateClient:
    """A client that shows the certificate of its connection (RFC 8705 §2)."""

    client_id: str


Client = SecretClient | KeyClient | CertificateClient
Way = tuple[str | int, ...]

_USE: Final[Mapping[ClientAuthentication, str | None]] = {
    "client_secret_basic": "client_secret",
    "client_secret_post": "client_secret",
    "private_key_jwt": "client_key",
    "tls_client_auth": None,
}
"""The key that each way to authenticate needs beside `client_id`."""
_ASKS_NOBODY: Final = "nobody is asked with verify: jwt, so that it has no use; leave it out"


def client(server: AuthorizationServer) -> Client:
    """Return the client that asks a server; raises FaultsError where the settings make none."""
    client_id, secret, key = server.client_id, server.client_secret, server.client_key
    match server.client_authentication:
        case "private_key_jwt" if client_id is not None and key is not None:
            return KeyClient(client_id, key)
        case "tls_client_auth" if client_id is not None:
            return CertificateClient(client_id)
        case "client_secret_basic" | "client_secret_post" as method if client_id is not None and secret is not None:
            return SecretClient(client_id, secret, method)
    raise FaultsError(dict(_faults(server)))


def authenticator(
    server: AuthorizationServer, where: EndpointName, clock: Callable[[], float]
) -> ImmediateAuthentication:
    """Make what authenticates the enforcer at an endpoint; `clock` gives seconds since the epoch."""
    found = client(server)
    match found:
        case SecretClient(client_id, secret, "client_secret_basic"):
            return secret_basic(client_id, secret)
        case SecretClient(client_id, secret):
            return secret_post(client_id, secret)
        case CertificateClient(client_id):
            return tls_client(client_id)
        case KeyClient(client_id, key):
            # Cryptography is a large import, and most need none.
            from enforcer.tokens.introspection.assertion import PrivateKeyJwt

            # RFC 7523 §3: the server's own name for itself; where that is not known, the URL that is called
            audience = server.issuer or endpoints(server)[where] or issuer(server)
            return PrivateKeyJwt(client_id, key, audience, clock)
    assert_never(found)


def expected_response(server: AuthorizationServer) -> ExpectedResponse:
    """Return what a signed answer must be."""
    from enforcer.tokens.introspection.jwt_introspection import ExpectedResponse

    settings = server.jwt
    return ExpectedResponse(
        issuer=issuer(server),
        client_id=client(server).client_id,
        algorithms=settings.algorithms,
        clock_skew=settings.clock_skew,
    )


def issuer(server: AuthorizationServer) -> str:
    """Return the issuer of a server whose settings need one; raises FaultsError where they have none."""
    if server.issuer is None:
        raise FaultsError(dict(_unknown_places(server)))
    return server.issuer


def endpoints(server: AuthorizationServer) -> Mapping[EndpointName, str | None]:
    """Return the endpoints that a server is used by; None where its metadata must tell."""
    used: dict[EndpointName, str | None] = {}
    if server.verify != "jwt":
        used["introspection_endpoint"] = server.introspection_endpoint
    if server.verify != "introspect" or server.signed_answers:
        used["jwks_uri"] = server.jwks_uri
    if server.own_token is not None:
        used["token_endpoint"] = server.own_token.token_endpoint
    return used


def check_authorization_server(server: AuthorizationServer) -> AuthorizationServer:
    """Return the settings; raises FaultsError that names each missing and each unused key."""
    faults: dict[Way, str] = {}
    for way, text in (*_faults(server), *_unknown_places(server)):
        faults[way] = f"{faults[way]}; {text}" if way in faults else text
    if faults:
        raise FaultsError(faults)
    return server


def _faults(server: AuthorizationServer) -> Iterator[tuple[Way, str]]:
    if server.verify == "jwt":
        for key in ("introspection_endpoint", "client_id", "client_secret", "client_key", "own_token"):
            if getattr(server, key) is not None:
                yield (key,), _ASKS_NOBODY
        if server.signed_answers:
            yield ("signed_answers",), _ASKS_NOBODY
        return
    method = server.client_authentication
    needed = _USE[method]
    if server.client_id is None:
        yield (), 'missing key "client_id": the client that the enforcer is to the authorization server'
    for key in ("client_secret", "client_key"):
        if key == needed and getattr(server, key) is None:
            yield (), f'missing key "{key}": client_authentication: {method} needs it'
        elif key != needed and getattr(server, key) is not None:
            fitting = " or ".join(other for other, use in _USE.items() if use == key)
            yield (key,), f"it has no use with client_authentication: {method}; it is for {fitting}"
    if method == "private_key_jwt" and server.client_key is not None and server.client_key.reveal():
        yield from _key_faults(server.client_key)
    if method == "tls_client_auth" and (server.tls is None or server.tls.certificate is None):
        yield (), "client_authentication: tls_client_auth needs tls.certificate and tls.key"


def _key_faults(key: Secret) -> Iterator[tuple[Way, str]]:
    # Cryptography is a large import, and most need none.
    from enforcer.tokens.introspection.assertion import private_key

    try:
        private_key(key)
    except ValueError as error:
        yield ("client_key",), str(error)


def _unknown_places(server: AuthorizationServer) -> Iterator[tuple[Way, str]]:
    used = endpoints(server)
    unknown = [name for name, url in used.items() if url is None]
    known = [url for url in used.values() if url is not None]
    if server.issuer is None and "jwks_uri" in used:
        yield (), f"{'signed_answers' if server.verify == 'introspect' else f'verify: {server.verify}'} needs issuer"
    elif server.issuer is None and unknown:
        key = "own_token.token_endpoint" if unknown[0] == "token_endpoint" else unknown[0]
        yield (), f'missing key "{key}": set it, or issuer, whose metadata (RFC 8414) names it'
    elif server.issuer is not None and unknown:
        known.append(server.issuer)
        try:
            parse_url(well_known_urls(server.issuer)[0])
        except ValueError as error:
            yield ("issuer",), f"{error}; where {unknown[0]} is not set, its metadata must tell it"
    if "jwks_uri" not in used and server.jwks_uri is not None:
        yield ("jwks_uri",), "it has no use with verify: introspect; leave it out, or set verify: jwt_then_introspect"
    secure = [url.startswith("https://") for url in known]
    if server.tls is not None and not any(secure):
        yield (), "tls is for https:// alone"
    elif server.client_authentication == "tls_client_auth" and not all(secure):
        yield (), "client_authentication: tls_client_auth needs endpoints that are https:// alone"
