"""`Config`, the settings of the whole product: immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import AfterValidator, Field, TypeAdapter

from enforcer.config.authorization_server import check_authorization_server
from enforcer.config.validate.http_fields import check_challenge, check_forwarding, check_response_field
from enforcer.policy.rules import Mode, Preflight, Rule, RuleDefaults, Scope
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.settings.cache import CacheSettings
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.connections.servers import Admin, Listener, Upstream
from enforcer.settings.cors import CorsSettings
from enforcer.settings.decision import DecisionListener
from enforcer.settings.external import Text
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.settings.jwt import ProofSettings
from enforcer.settings.limits import Limits, Timeouts
from enforcer.settings.log import Log
from enforcer.settings.resources import ProtectedResource
from enforcer.units import Section, Switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Section):
    """The whole configuration."""

    listener: Listener = field(default_factory=Listener)
    """The listener for clients."""
    decision: tuple[DecisionListener, ...] = ()
    """Listeners of the decision API, which other proxies ask whether a request is allowed (docs/decision-api.md). If
    there is no upstream, the enforcer only answers them, and `listener` is not opened."""
    admin: Admin = field(default_factory=Admin)
    """The listener of the admin server: health and metrics."""
    upstream: Upstream | None = None
    """The app that allowed requests are forwarded to. A rule may name another one, of `upstreams`; if every rule does,
    or if there is only the decision API (`decision`), this is not required."""
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    """More apps, by the names that rules and metrics use."""
    authorization_servers: Annotated[
        tuple[Annotated[AuthorizationServer, AfterValidator(check_authorization_server)], ...], Field(min_length=1)
    ]
    """The servers that verify tokens; a rule that names none uses the first."""
    rules: tuple[Rule, ...] = ()
    """The policy. A request that no rule allows is denied; if several rules match a path, the most specific one
    applies. At least one is required, here or in `rule_files`, unless `mode` is `report`."""
    rule_files: tuple[Text, ...] = ()
    """Files with more rules, each a mapping with `rules`, and with `rule_defaults` for these rules: paths, patterns
    such as `rules/*.yaml`, or folders, of which files ending in .yaml or .yml are read. Names that begin with a dot are
    skipped, so that a folder may be a mounted ConfigMap."""
    rule_defaults: RuleDefaults = field(default_factory=RuleDefaults)
    """Defaults for keys that a rule does not set. A public rule takes none that concerns a token."""
    scope_sets: Mapping[str, tuple[Scope, ...]] = field(default_factory=dict)
    """Named sets of scopes, for use in `scopes` and `any_scope`: `scope_sets: {editors: [a, b]}` and `any_scope:
    [$editors]`."""
    scope_implies: Mapping[str, tuple[Scope, ...]] = field(default_factory=dict)
    """Scopes that include others, such as `{repo: [public_repo]}`: a token with `repo` meets every condition on
    `public_repo`, also through several steps."""
    mode: Mode = "enforce"
    """Treatment of a denied request if no rule matches, or the rule has no `mode`: `enforce` refuses it; `report`
    forwards it and counts it as `would_deny`. In both modes, a request is refused if it can be read in more than one
    way or exceeds `limits`."""
    allow_report_mode: Switch = True
    """Whether `mode: report` may be set, for the whole configuration, in `rule_defaults` or by a rule. On the command
    line, `--set allow_report_mode=false` makes it an error whatever the files contain: a cluster's injector does so for
    all sidecars, if its chart has `sidecar.allowReportMode: false`."""
    cors_preflight: Preflight = "judge"
    """Treatment of CORS preflights (OPTIONS with Origin and Access-Control-Request-Method, without Authorization and
    body): `allow` lets one pass without a token if a rule matches the requested method at its path and host; `answer`
    permits it then to the pages of `cors.origins`, and the app does not get it; `judge`
    treats it like any other OPTIONS request. Browsers send no token with preflights."""
    cors: CorsSettings = field(default_factory=CorsSettings)
    would_deny_field: Annotated[str, AfterValidator(check_response_field)] | None = None
    """Response field, such as `X-Enforcer-Would-Deny`, that tells the client why its request would have been denied.
    Default: none."""
    cache: CacheSettings = field(default_factory=CacheSettings)
    forwarding: Annotated[ForwardingSettings, AfterValidator(check_forwarding)] = field(
        default_factory=ForwardingSettings
    )
    """The header fields that the upstream receives from the enforcer, and never from a client."""
    challenge: Annotated[ChallengeSettings, AfterValidator(check_challenge)] = field(default_factory=ChallengeSettings)
    """Parameters of the challenge of a refusal, besides the error."""
    resources: tuple[ProtectedResource, ...] = ()
    """The APIs that the rules protect, as clients know them: each has metadata (RFC 9728), which tells clients where to
    get a token, and is named in the challenges of its rules. Its authorization servers need `issuer`. A token must be
    for the resource (`aud`), unless the rule or its authorization server sets `audience`."""
    dpop: ProofSettings = field(default_factory=ProofSettings)
    """DPoP-bound tokens (RFC 9449), whose senders prove possession of the key with each request. They are always
    accepted; this section sets which proofs are."""
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    log: Log = field(default_factory=Log)


ADAPTER: Final = TypeAdapter(Config)
"""Validates plain values as a Config, with a `sources.Sources` as context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFile(Section):
    """A file with rules, one of `rule_files`."""

    rules: tuple[Rule, ...]
    """The rules. Their names are unique in the whole configuration."""
    rule_defaults: RuleDefaults = field(default_factory=RuleDefaults)
    """Defaults for keys that a rule of this file does not set. They precede those of the configuration; `claims`,
    `query` and `headers` are merged by name."""


RULE_FILE_ADAPTER: Final = TypeAdapter(RuleFile)
