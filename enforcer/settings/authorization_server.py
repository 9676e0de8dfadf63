"""An authorization server: how its tokens are verified, and the enforcer's client there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from enforcer.settings.connections.addresses import Url
from enforcer.settings.connections.pool import BreakerSettings, IntrospectionPool
from enforcer.settings.connections.tls import ClientTLS
from enforcer.settings.external import SecretElsewhere, Text, TextElsewhere
from enforcer.settings.jwt import JwtSettings, KeySettings
from enforcer.units import Bytes, Seconds, SecondsOrZero, Section, Switch

ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"]
"""The methods, by their registered names (RFC 8414 §2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTokenSettings(Section):
    """An access token of the enforcer's own, obtained with the client credentials grant and used to introspect."""

    token_endpoint: Url | None = None
    """URL of the token endpoint, with path. Default: the one in the issuer's metadata."""
    scopes: tuple[Text, ...] = ()
    """Scopes to request. Default: the server's default scopes."""
    renew_ahead: SecondsOrZero = 30.0
    """Time before its expiry at which the token is renewed, so that no request waits; at most half of its lifetime."""
    lifetime: Seconds = 300.0
    """Lifetime of a token if the server sends no `expires_in`."""
    pause: Seconds = 10.0
    """Minimum time between a fetch and another one that is caused by a token that was not accepted, and maximum time
    between attempts. Bounds the load on a failing server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataSettings(Section):
    """Refresh of an authorization server's metadata (RFC 8414), if an endpoint comes from there."""

    refresh: Seconds = 3600.0
    """Interval at which the metadata is fetched in the background: the delay until a moved endpoint is noticed. Until a
    fetch succeeds, the last metadata stays in use."""
    pause: Seconds = 30.0
    """Maximum time until a failed fetch is repeated. The first retry comes after 1 s, and the time doubles with each
    failure. Bounds the load on a failing server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer(Section):
    """A server that verifies tokens, by introspection (RFC 7662) or with its signing keys (RFC 9068)."""

    name: Text = "default"
    """Unique name, used in rules and metrics."""
    issuer: Text | None = None
    """Issuer identifier, as in the `iss` claim of its tokens. The issuer's metadata (RFC 8414) supplies each endpoint
    that is needed and not set. Rules without an `issuer` of their own require this one. A JWT from another issuer is
    never sent to this server."""
    audience: tuple[Text, ...] = ()
    """Accepted audiences for rules without an `audience` of their own: a token must be for at least one of them.
    Default: any audience, so tokens that the server issued for other apps are accepted too."""
    scope_claims: tuple[Text, ...] = ("scope", "scp")
    """Claims that may hold the scopes of its tokens, as a string with spaces or a list: the first that a token has is
    read, and no other. A dotted name, or a JSON pointer (`/a/b`), reaches into nested claims: `realm_access.roles`."""
    verify: Literal["introspect", "jwt", "jwt_then_introspect"] = "introspect"
    """Verification of tokens. `introspect` sends each to the server, so that a revocation is noticed. `jwt` verifies
    the signature of JWTs; any other token is inactive and sent to no server. `jwt_then_introspect` verifies JWTs by
    signature and introspects all other tokens. The last two need `issuer`."""
    introspection_endpoint: Url | None = None
    """URL of the introspection endpoint, with path. Default: the one in the issuer's metadata."""
    jwks_uri: Url | None = None
    """URL of the server's keys (JWKS, RFC 7517), for JWTs. Default: the one in the issuer's metadata."""
    jwt: JwtSettings = field(default_factory=JwtSettings)
    """Which JWTs are accepted."""
    keys: KeySettings = field(default_factory=KeySettings)
    metadata: MetadataSettings = field(default_factory=MetadataSettings)
    client_id: TextElsewhere | None = None
    """Client ID of the enforcer at this server; the client must be allowed to introspect. Required unless `verify` is
    `jwt`. If it is stored with the secret: `{file: path}` or `{env: NAME}`."""
    client_secret: SecretElsewhere | None = None
    """Client secret, by where it is stored: `{file: path}`, relative to the configuration's folder, or `{env:
    NAME}`."""
    client_key: SecretElsewhere | None = None
    """Private key of the client for `private_key_jwt`, by where it is stored: PEM or JWK; RSA, EC or Ed25519. Prefer an
    elliptic curve key: every call needs a signature."""
    client_authentication: ClientAuthentication = "client_secret_basic"
    """Client authentication: with its secret, in the Authorization field or in the form (RFC 6749 §2.3.1); with
    assertions signed by its key (RFC 7523); or with the certificate in `tls` (RFC 8705 §2)."""
    signed_answers: Switch = False
    """Request signed introspection responses (RFC 9701) and accept no others, for networks where an intermediary could
    change a response. Needs `issuer`; `jwt` sets the accepted algorithms."""
    own_token: OwnTokenSettings | None = None
    """Introspect with an access token of the enforcer's own (RFC 7662 §2.1), for servers that require one; the client
    then authenticates at the token endpoint. `{}` is enough if the issuer's metadata names the token endpoint."""
    tls: ClientTLS | None = None
    """Verification of an `https://` server, and the client certificate for it. Default: the system's certificate
    authorities, no client certificate."""
    timeout: Seconds = 2.0
    """Timeout of a whole call, from connecting to the last byte of the response. A client waits this long."""
    max_answer: Bytes = 64 * 1024
    """Maximum size of a response. Bounds memory."""
    retry_after: Seconds = 5.0
    """Retry-After of the 503 that clients get if the server gave no usable response; whole seconds, rounded up. Reduces
    the load on a failing server."""
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    pool: IntrospectionPool = field(default_factory=IntrospectionPool)
    """Limits and timeouts of the connections to the server."""

    @property
    def mutual_tls(self) -> bool:
        """Whether the client authenticates with the certificate of its connections (RFC 8705 §2)."""
        return self.client_authentication == "tls_client_auth"
