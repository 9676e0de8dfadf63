"""An authorization server: how its tokens are verified, and the enforcer's client there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from enforcer.settings.addresses import Url
from enforcer.settings.external import SecretElsewhere, Text, TextElsewhere
from enforcer.settings.jwt import JwtSettings, KeySettings
from enforcer.settings.pool import BreakerSettings, IntrospectionPool
from enforcer.settings.tls import ClientTLS
from enforcer.units import CLOSED, Bytes, Seconds, SecondsOrZero, Switch

ClientAuthentication = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth"]
"""The methods, by their registered names (RFC 8414 §2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTokenSettings:
    """An access token of the enforcer's own, which it gets by client credentials and introspects with."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    token_endpoint: Url | None = None
    """URL that gives it, with its path; the one that the issuer's metadata names unless set."""
    scopes: tuple[Text, ...] = ()
    """Scopes that it is asked for with; the server's default ones unless set."""
    renew_ahead: SecondsOrZero = 30.0
    """How long before its end another one is fetched, so that no request waits for it; at most half of its life."""
    lifetime: Seconds = 300.0
    """How long one is used whose life the server does not tell."""
    pause: Seconds = 10.0
    """How long after a fetch none is made because a token was not accepted, and at most between attempts. Bounds the
    load on a server in trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataSettings:
    """How long the metadata of an authorization server is used (RFC 8414), where it must tell an endpoint."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    refresh: Seconds = 3600.0
    """How often it is fetched, in the background: how late an endpoint that moved is noticed. Until that succeeds, the
    last one holds."""
    pause: Seconds = 30.0
    """How long at most until it is tried again after a failure; at first it is 1 s, and twice as long each time. Bounds
    the load on a server in trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationServer:
    """Who says what a token is worth: when asked (RFC 7662), or by its keys (RFC 9068)."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    name: Text = "default"
    """What rules and metrics call it; unique."""
    issuer: Text | None = None
    """Issuer of its tokens, as they name it. Its metadata (RFC 8414) tells each endpoint that is needed and not set;
    rules that name no issuer themselves need this one; and a JWT that names another is shown to another server, or to
    none."""
    audience: tuple[Text, ...] = ()
    """Audiences of which its tokens must be for at least one, on rules that name none themselves. Any unless set: then
    tokens that it issued for other apps pass here too."""
    verify: Literal["introspect", "jwt", "jwt_then_introspect"] = "introspect"
    """How a token's worth is learnt: by asking about each, so that a revocation is noticed; or, where it is a JWT, by
    its signature. Then one that is no JWT is asked about, or, with `jwt`, worth nothing and shown to nobody; `issuer`
    is needed."""
    introspection_endpoint: Url | None = None
    """URL that is asked, with its path; the one that the issuer's metadata names unless set."""
    jwks_uri: Url | None = None
    """URL of the server's keys (RFC 7517), for JWTs; the one that the issuer's metadata names unless set."""
    jwt: JwtSettings = field(default_factory=JwtSettings)
    """Which JWTs are accepted."""
    keys: KeySettings = field(default_factory=KeySettings)
    """How long the server's keys are used."""
    metadata: MetadataSettings = field(default_factory=MetadataSettings)
    """How long its metadata is used (RFC 8414), where that must tell an endpoint."""
    client_id: TextElsewhere | None = None
    """Client that the enforcer is to the authorization server; it must be allowed to introspect. Needed unless nobody
    is asked (`verify: jwt`). Where it comes with the secret, `{file: path}` or `{env: NAME}`."""
    client_secret: SecretElsewhere | None = None
    """That client's secret, by where it is kept: `{file: path}`, relative to the configuration's folder, or
    `{env: NAME}`."""
    client_key: SecretElsewhere | None = None
    """That client's private key, PEM or JWK, for `private_key_jwt`, by where it is kept: RSA, EC or Ed25519. Elliptic
    curves are best: one signature is made for each call."""
    client_authentication: ClientAuthentication = "client_secret_basic"
    """How the client authenticates: by its secret, in the Authorization field or in the form (RFC 6749 §2.3.1); by
    assertions that its key signs (RFC 7523); or by the certificate in `tls` (RFC 8705 §2)."""
    signed_answers: Switch = False
    """Have the server sign what it says of tokens (RFC 9701), and believe nothing else: where something between may
    change it. `issuer` is needed, and `jwt` says which algorithms may be used."""
    own_token: OwnTokenSettings | None = None
    """Introspect with an access token of the enforcer's own (RFC 7662 §2.1), for servers that want one there; the
    client then authenticates where it gets that. `{}` is enough where the issuer's metadata names the token
    endpoint."""
    tls: ClientTLS | None = None
    """How an `https://` server is verified, and what it is shown; by the system's authorities unless set."""
    timeout: Seconds = 2.0
    """For the whole call, connecting and the answer's last byte included. A client waits for it."""
    max_answer: Bytes = 64 * 1024
    """Size of an answer at most. Bounds memory."""
    retry_after: Seconds = 5.0
    """What Retry-After says in a 503 when no answer came, in whole seconds, rounded up. Spares a server in trouble."""
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    """When it is left alone because it fails."""
    pool: IntrospectionPool = field(default_factory=IntrospectionPool)
    """Limits and times of the connections to it."""
