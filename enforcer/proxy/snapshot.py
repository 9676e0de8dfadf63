"""What requests are judged by: one configuration, made ready, immutable and swapped whole.

A request keeps the snapshot that it began with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from enforcer.counters import RouteMetrics, UpstreamMetrics
from enforcer.decision_log.buffer import RetentionSettings
from enforcer.policy.matcher import Matcher, Methods
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import UNSERVED
from enforcer.proxy.forwarding import Forwarding
from enforcer.proxy.proofs import Proofs
from enforcer.proxy.refusals import RuleRefusals
from enforcer.settings.limits import Limits, Timeouts
from enforcer.tokens.verifier import LookupOptions, TokenVerifier
from enforcer.wire.pool import Pool
from enforcer.wire.target import Target, parse


@dataclass(frozen=True, slots=True, eq=False)
class Upstream:
    """A server that requests are forwarded to; `authority` is its Host where a client sent none."""

    pool: Pool
    authority: bytes
    metrics: UpstreamMetrics


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Route:
    """A rule with all that a request under it needs; `requirement` None is the route of requests without a rule.

    `reports`: what it denies is forwarded all the same. `watched`: what is forwarded is told of too. `asks`: it must be
    known what the token is worth, which may end what it began (`ends_with_token`).
    """

    requirement: Requirement | None
    reports: bool
    watched: bool
    asks: bool
    ends_with_token: bool
    refusals: RuleRefusals
    metrics: RouteMetrics
    verifier: TokenVerifier
    upstream: Upstream
    demand: LookupOptions


Located = tuple[Target, Methods[Route] | None]
"""A request-target as it was read, and what its path leads to."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One configuration, made ready. `located` remembers request-targets that were read already, with their host where
    it makes a difference (`by_host`).

    `would_deny_field` names the field of an answer that tells what its request would have been refused for; `keeping`
    says what is kept of decisions, None where nothing is; `life` ends with the snapshot, whose own end cannot be
    watched: it is compiled, and has no weak references.
    """

    matcher: Matcher[Route]
    no_route: Route
    unserved: Route
    forwarding: Forwarding
    limits: Limits
    timeouts: Timeouts
    proofs: Proofs
    would_deny_field: bytes | None
    keeping: RetentionSettings | None
    by_host: bool
    life: Any
    located: dict[bytes | tuple[bytes, bytes], Located] = field(default_factory=dict)

    def without_rule(self, method: bytes) -> Route:
        """Return the route of a request that no rule is for. What is never let through is not in report mode either."""
        return self.unserved if method in UNSERVED else self.no_route

    def locate(self, raw: bytes, host: bytes) -> Located:
        """Read a request-target and find what it leads to; raises MalformedRequestError."""
        target = parse(raw)
        found = (target, self.matcher.at(target.segments, host))
        if not target.query and len(raw) + len(host) <= _SHORT:
            if len(self.located) >= _REMEMBERED:
                self.located.clear()
            self.located[(raw, host) if self.by_host else raw] = found
        return found


_SHORT: Final = 256  # bytes of a target and its host that are worth remembering; one with a query is not
_REMEMBERED: Final = 4096  # such targets at most: some 2 MiB
