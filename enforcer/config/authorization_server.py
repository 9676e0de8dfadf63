"""The enforcer's client at an authorization server, and the endpoints that it uses there.

A key without effect is an error like a missing one, because its author expects an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, assert_never

from enforcer.errors import SettingsError
from enforcer.policy.rules import Fault
from enforcer.secret import Secret
from enforcer.settings.authorization_server import AuthorizationServer, ClientAuthentication
from enforcer.settings.connections.addresses import parse_url
from enforcer.tokens.claims import ScopeClaims, pointer_keys
from enforcer.tokens.introspection.client_authentication import (
    ImmediateAuthentication,
    secret_basic,
    secret_post,
    tls_client,
)
from enforcer.tokens.introspection.metadata import PLACEHOLDER, EndpointName, is_template, well_known_urls

if TYPE_CHECKING:
    from enforcer.tokens.introspection.jwt_introspection import ExpectedResponse

SecretMethod = Literal["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True, slots=True)
class SecretClient:
    """A client that authenticates with a secret (RFC 6749 §2.3.1)."""

    client_id: str
    secret: Secret
    method: SecretMethod


@dataclass(frozen=True, slots=True)
class KeyClient:
    """A client that authenticates with signed assertions (RFC 7523 §2.2)."""

    client_id: str
    key: Secret


@dataclass(frozen=True, slots=True)
class CertificateClient:
    """A client that authenticates with the certificate of its connection (RFC 8705 §2)."""

    client_id: str


Client = SecretClient | KeyClient | CertificateClient

_CREDENTIAL_KEYS: Final[Mapping[ClientAuthentication, str | None]] = {
    "client_secret_basic": "client_secret",
    "client_secret_post": "client_secret",
    "private_key_jwt": "client_key",
    "tls_client_auth": None,
}
"""The key that each method requires beside `client_id`."""
_NO_INTROSPECTION: Final = "has no effect with verify: jwt, which introspects no token; remove it"


def client(server: AuthorizationServer) -> Client:
    """Return the client that introspects; raises SettingsError if the settings lack one."""
    client_id, secret, key = server.client_id, server.client_secret, server.client_key
    match server.client_authentication:
        case "private_key_jwt" if client_id is not None and key is not None:
            return KeyClient(client_id, key)
        case "tls_client_auth" if client_id is not None:
            return CertificateClient(client_id)
        case "client_secret_basic" | "client_secret_post" as method if client_id is not None and secret is not None:
            return SecretClient(client_id, secret, method)
    raise SettingsError(dict(_client_faults(server)))


def authenticator(
    server: AuthorizationServer, endpoint: EndpointName, clock: Callable[[], float]
) -> ImmediateAuthentication:
    """Return the authentication of the enforcer at an endpoint; `clock` returns seconds since the epoch."""
    credentials = client(server)
    match credentials:
        case SecretClient(client_id, secret, "client_secret_basic"):
            return secret_basic(client_id, secret)
        case SecretClient(client_id, secret):
            return secret_post(client_id, secret)
        case CertificateClient(client_id):
            return tls_client(client_id)
        case KeyClient(client_id, key):
            # Imported here because cryptography is a large import and most configurations need none.
            from enforcer.tokens.introspection.assertion import PrivateKeyJwt

            # RFC 7523 §3: the audience is the server's issuer identifier, or the endpoint's URL if that is unknown.
            audience = server.issuer or endpoints(server)[endpoint] or issuer(server)
            return PrivateKeyJwt(client_id, key, audience, clock)
    assert_never(credentials)


def expected_response(server: AuthorizationServer) -> ExpectedResponse:
    """Return what a signed introspection response must contain (RFC 9701)."""
    from enforcer.tokens.introspection.jwt_introspection import ExpectedResponse

    settings = server.jwt
    return ExpectedResponse(
        issuer=issuer(server),
        client_id=client(server).client_id,
        algorithms=settings.algorithms,
        clock_skew=settings.clock_skew,
        scopes=ScopeClaims(server.scope_claims),
    )


def issuer(server: AuthorizationServer) -> str:
    """Return the issuer of a server whose settings require one; raises SettingsError if it is not set."""
    if server.issuer is None:
        raise SettingsError(dict(_endpoint_faults(server)))
    return server.issuer


def endpoints(server: AuthorizationServer) -> Mapping[EndpointName, str | None]:
    """Return the endpoints that the enforcer uses; None if the URL comes from the server's metadata."""
    used: dict[EndpointName, str | None] = {}
    if server.verify != "jwt":
        used["introspection_endpoint"] = server.introspection_endpoint
    if server.verify != "introspect" or server.signed_answers:
        used["jwks_uri"] = server.jwks_uri
    if server.own_token is not None:
        used["token_endpoint"] = server.own_token.token_endpoint
    return used


def check_authorization_server(server: AuthorizationServer) -> AuthorizationServer:
    """Return the settings; raises SettingsError that names each missing key and each key without effect."""
    faults: dict[tuple[str | int, ...], str] = {}
    for path, message in (*_client_faults(server), *_endpoint_faults(server), *_scope_faults(server)):
        faults[path] = f"{faults[path]}; {message}" if path in faults else message
    if faults:
        raise SettingsError(faults)
    return server


def _scope_faults(server: AuthorizationServer) -> Iterator[Fault]:
    if not server.scope_claims:
        yield ("scope_claims",), "expected at least one, found an empty list"
    for index, name in enumerate(server.scope_claims):
        if name in server.scope_claims[:index]:
            yield ("scope_claims", index), f"duplicate claim {name}"
        elif "" in (pointer_keys(name) if name.startswith("/") else name.split(".")):
            yield ("scope_claims", index), "a part of the name is empty"


def _client_faults(server: AuthorizationServer) -> Iterator[Fault]:
    if server.verify == "jwt":
        for key in ("introspection_endpoint", "client_id", "client_secret", "client_key", "own_token"):
            if getattr(server, key) is not None:
                yield (key,), _NO_INTROSPECTION
        if server.signed_answers:
            yield ("signed_answers",), _NO_INTROSPECTION
        return
    method = server.client_authentication
    required = _CREDENTIAL_KEYS[method]
    if server.client_id is None:
        yield (), 'missing key "client_id": the client ID of the enforcer at the authorization server'
    for key in ("client_secret", "client_key"):
        if key == required and getattr(server, key) is None:
            yield (), f'missing key "{key}": client_authentication: {method} needs it'
        elif key != required and getattr(server, key) is not None:
            methods = " or ".join(other for other, needed in _CREDENTIAL_KEYS.items() if needed == key)
            yield (key,), f"has no effect with client_authentication: {method}; it is for {methods}"
    if method == "private_key_jwt" and server.client_key is not None and server.client_key.reveal():
        yield from _key_faults(server.client_key)
    if server.mutual_tls and (server.tls is None or server.tls.certificate is None):
        yield (), "client_authentication: tls_client_auth needs tls.certificate and tls.key"


def _key_faults(key: Secret) -> Iterator[Fault]:
    # Imported here because cryptography is a large import and most configurations need none.
    from enforcer.tokens.introspection.assertion import private_key

    try:
        private_key(key)
    except ValueError as error:
        yield ("client_key",), str(error)


def _endpoint_faults(server: AuthorizationServer) -> Iterator[Fault]:
    used = endpoints(server)
    from_metadata = [name for name, url in used.items() if url is None]
    urls = [url for url in used.values() if url is not None]
    if server.issuer is not None and is_template(server.issuer):
        yield ("issuer",), PLACEHOLDER
    if server.issuer is None and "jwks_uri" in used:
        yield (), f"{'signed_answers' if server.verify == 'introspect' else f'verify: {server.verify}'} needs issuer"
    elif server.issuer is None and from_metadata:
        key = "own_token.token_endpoint" if from_metadata[0] == "token_endpoint" else from_metadata[0]
        yield (), f'missing key "{key}": set it, or issuer, whose metadata (RFC 8414) names it'
    elif server.issuer is not None and from_metadata:
        urls.append(server.issuer)
        try:
            parse_url(well_known_urls(server.issuer)[0])
        except ValueError as error:
            yield ("issuer",), f"{error}; without {from_metadata[0]}, the issuer's metadata must be fetched"
    if "jwks_uri" not in used and server.jwks_uri is not None:
        yield ("jwks_uri",), "has no effect with verify: introspect; remove it, or set verify: jwt_then_introspect"
    secure = [url.startswith("https://") for url in urls]
    if server.tls is not None and not any(secure):
        yield (), "tls is only for https://"
    elif server.mutual_tls and not all(secure):
        yield (), "client_authentication: tls_client_auth needs https:// for every endpoint"
