"""The settings of the whole product, immutable once read."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from enforcer.config import clients
from enforcer.config.addresses import Address, Server, Url
from enforcer.config.checks import check_answer_field, check_challenge, check_forwarding
from enforcer.config.sources import ReadableFile, SecretElsewhere, TextElsewhere
from enforcer.policy.rules import Mode, Preflight, Rule, RuleDefaults
from enforcer.proxy.decisions import Logged
from enforcer.proxy.settings import ForwardingSettings, Limits, Timeouts
from enforcer.tokens.breaker import BreakerSettings
from enforcer.tokens.cache_settings import CacheSettings
from enforcer.tokens.challenge import ChallengeSettings
from enforcer.tokens.client_authentication import ClientAuthentication
from enforcer.tokens.jwt_settings import JwtSettings, KeySettings
from enforcer.tokens.proof_settings import ProofSettings
from enforcer.units import CLOSED, Bytes, Count, Seconds, SecondsOrZero, Switch
from enforcer.wire.settings import PoolSettings

Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTLS:
    """TLS towards clients. Paths are relative to the configuration's folder."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    certificate: ReadableFile
    """File with the certificate and those that lead from it to an authority, PEM."""
    key: ReadableFile
    """File with the certificate's private key, PEM, not encrypted."""
    client_ca: ReadableFile | None = None
    """File with the authorities of which clients show a certificate, PEM; none is asked for unless set."""
    client_certificate: Literal["required", "optional"] = "required"
    """Whether every client must show a certificate of `client_ca`, or may. A token that is bound to one (RFC 8705) is
    worth nothing without it. One that is of no such authority is refused in any case."""
    context: ssl.SSLContext = field(init=False, repr=False, compare=False)
    """What the files make, as they were read."""

    def __post_init__(self) -> None:
        if self.client_certificate == "optional" and self.client_ca is None:
            raise ValueError("client_certificate: optional needs client_ca, of which certificates are asked for")
        object.__setattr__(self, "context", _loaded(self._load))

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.client_ca)
        context.load_cert_chain(self.certificate, self.key, _no_password)
        if self.client_ca is not None:
            optional = self.client_certificate == "optional"
            context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTLS:
    """TLS towards a server that is called. Paths are relative to the configuration's folder."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    ca: ReadableFile | None = None
    """File with the authorities that the server's certificate may come from, PEM; those of the system unless set."""
    server_name: Text | None = None
    """Name that the server's certificate must have; the URL's host unless set."""
    certificate: ReadableFile | None = None
    """File with the certificate that is shown to the server, PEM; needs `key`. None unless set."""
    key: ReadableFile | None = None
    """File with that certificate's private key, PEM, not encrypted."""
    context: ssl.SSLContext = field(init=False, repr=False, compare=False)
    """What the files make, as they were read."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key are set together, or neither")
        object.__setattr__(self, "context", _loaded(self._load))

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key, _no_password)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where clients connect."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    address: Address = "0.0.0.0:8091"
    """Address and port; port 0 takes a free one. `:8091` is every address of both IP families, and
    `[10.0.0.1,fd00::1]:8091` are those two. All interfaces, since clients come from elsewhere."""
    tls: ServerTLS | None = None
    """Serve TLS; plain text unless set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """Where the operator's side listens: health and metrics."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    address: Address = "127.0.0.1:9091"
    """Address and port; port 0 takes a free one. Loopback, since whoever reaches it reads the metrics."""
    credential: SecretElsewhere | None = None
    """What `Authorization: Bearer` must carry to ask why a request was refused, or have remembered answers forgotten,
    by where it is kept; both are refused to everybody unless set."""
    denials: Count = 256
    """Denials that can be asked about (`GET /decisions/ID`), the last so many; none without `credential`. Bounds
    memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The app that allowed requests are forwarded to."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    url: Server
    """Where the app listens: `http://host:port`, `https://host:port` or `unix:/path/to.sock`. It has no path, since
    requests keep theirs."""
    tls: ClientTLS | None = None
    """How an `https://` app is verified; by the system's authorities unless set."""
    pool: PoolSettings = field(default_factory=PoolSettings)
    """Limits and times of the connections to the app."""

    def __post_init__(self) -> None:
        if self.tls is not None and not self.url.startswith("https://"):
            raise ValueError("tls is for https:// alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionPool(PoolSettings):
    """Limits and times of the connections to an authorization server."""

    connections: Count = 32
    """Connections at most; more concurrent calls wait in the queue. Few: calls are short, and the server is shared."""
    queue: Count = 4096
    """Calls that may wait for a connection; one more is answered 503 at once. Bounds memory."""


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

    def __post_init__(self) -> None:
        clients.check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is logged, to standard error."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object a line for machines."""
    decisions: Logged = "none"
    """Decisions that are logged too, each as a JSON object on a line of its own: `none`, those that do not allow, or
    `all`, as `enforcer learn` needs them. None of them unless set: strangers can make as many denials as they like."""
    backlog: Count = 10_000
    """Decisions that may wait to be written while standard error is slow; more are left out. Bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration."""

    __pydantic_config__: ClassVar[Any] = CLOSED

    listener: Listener = field(default_factory=Listener)
    """Where clients connect."""
    admin: Admin = field(default_factory=Admin)
    """Where the operator's side listens: health and metrics."""
    upstream: Upstream | None = None
    """The app that allowed requests are forwarded to. A rule may name another of `upstreams`; where each does, this is
    not needed."""
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    """More apps, by the names that rules and metrics call them."""
    authorization_servers: Annotated[tuple[AuthorizationServer, ...], Field(min_length=1)]
    """Who is asked what a token is worth; a rule that names none asks the first."""
    rules: tuple[Rule, ...] = ()
    """Who may do what. What no rule allows is refused; of the rules for a path the most specific one counts. One is
    needed, here or in `rule_files`, unless `mode` is `report`."""
    rule_files: tuple[Text, ...] = ()
    """Files with more rules, each a mapping with `rules` alone: paths, patterns such as `rules/*.yaml`, or folders, of
    which those with .yaml or .yml count. Names that begin with a dot are left out, so that a folder may be a mounted
    ConfigMap."""
    rule_defaults: RuleDefaults = field(default_factory=RuleDefaults)
    """What rules say that do not say it themselves. A public rule takes none that speaks of a token."""
    scope_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Scopes by a name, which stands for them in `scopes` and `any_scope`: `scope_sets: {editors: [a, b]}` and
    `any_scope: [$editors]`."""
    mode: Mode = "enforce"
    """What becomes of requests that are refused, without a rule or by a rule that says nothing else: `enforce` refuses
    them; `report` forwards them, and counts them as `would_deny`. Whatever the mode, a request that cannot be read in
    one way, or is larger than `limits` say, is refused."""
    cors_preflight: Preflight = "judge"
    """What becomes of CORS preflights (OPTIONS with Origin and Access-Control-Request-Method, without Authorization and
    body): `allow` lets one pass without a token where a rule is for the method that it asks for, at its path and host;
    `judge` judges it as any other OPTIONS. Browsers send no token with them."""
    would_deny_field: Annotated[str, AfterValidator(check_answer_field)] | None = None
    """Field, such as `X-Enforcer-Would-Deny`, in which an answer tells the client what its request would have been
    refused for; none unless set."""
    cache: CacheSettings = field(default_factory=CacheSettings)
    """How long, and how many, answers of authorization servers are remembered."""
    forwarding: Annotated[ForwardingSettings, AfterValidator(check_forwarding)] = field(
        default_factory=ForwardingSettings
    )
    """The fields that the upstream gets from the enforcer, and never from a client."""
    challenge: Annotated[ChallengeSettings, AfterValidator(check_challenge)] = field(default_factory=ChallengeSettings)
    """What the challenge of a refusal says besides the error."""
    dpop: ProofSettings = field(default_factory=ProofSettings)
    """Tokens that are bound to a key (RFC 9449), whose holder proves with each request that they have it. They are
    taken in any case; this says which proofs are."""
    limits: Limits = field(default_factory=Limits)
    """What a client may send."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    """How long a client may take."""
    log: Log = field(default_factory=Log)
    """What is logged, to standard error."""


@cache
def adapter() -> TypeAdapter[Config]:
    """Return what reads a Config from plain values; its context is a `sources.Sources`. Built once, when first used."""
    return TypeAdapter(Config)


def _loaded(load: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    try:
        return load()
    except OSError as error:
        # OpenSSL gives no reason for a file that is not what it should be.
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        said = (reason or "not PEM of the right kind, or a key with a password").replace("_", " ")
        raise ValueError(f"the files cannot be used for TLS: {said}") from None


def _no_password() -> str:
    # Without this, OpenSSL asks the terminal for the password of an encrypted key.
    return ""
