"""The settings of the whole product, immutable once read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, TypeAdapter

from enforcer.config.authorization_server import check_authorization_server
from enforcer.config.validate.http_fields import check_answer_field, check_challenge, check_forwarding
from enforcer.policy.rules import Mode, Preflight, Rule, RuleDefaults
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.settings.cache import CacheSettings
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.external import Text
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.settings.jwt import ProofSettings
from enforcer.settings.limits import Limits, Timeouts
from enforcer.settings.log import Log
from enforcer.settings.servers import Admin, Listener, Upstream
from enforcer.units import CLOSED


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
    authorization_servers: Annotated[
        tuple[Annotated[AuthorizationServer, AfterValidator(check_authorization_server)], ...], Field(min_length=1)
    ]
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
