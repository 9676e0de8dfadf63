"""Makes a configuration ready to judge requests by."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from enforcer.config.model import Config
from enforcer.config.resolved import resolved_rules, upstreams
from enforcer.counters import NO_ROUTE
from enforcer.decision_log.buffer import RetentionSettings
from enforcer.policy.matcher import Matcher, Place
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import Path as PathTemplate
from enforcer.policy.rules import Rule
from enforcer.proxy.forwarding import Forwarding
from enforcer.proxy.proofs import Proofs
from enforcer.proxy.refusals import Refusals
from enforcer.proxy.snapshot import Route, Snapshot, Upstream
from enforcer.server.resources import ResourceScope
from enforcer.server.sources import make_endpoint
from enforcer.server.verifiers import Verifiers
from enforcer.settings.addresses import parse_server
from enforcer.settings.servers import Upstream as UpstreamSettings
from enforcer.telemetry import Telemetry
from enforcer.tokens.dpop.replay_cache import ProofState, ReplayCache
from enforcer.tokens.limiter import AddressLimiter
from enforcer.tokens.verifier import CacheControl, LookupOptions
from enforcer.wire.pool import Pool
from enforcer.wire.ticker import Ticker


def assemble(
    config: Config, scope: ResourceScope, telemetry: Telemetry, ticker: Ticker, loop: asyncio.AbstractEventLoop
) -> tuple[Snapshot, CacheControl]:
    """Make a configuration ready to judge requests by, with what it will remember of tokens.

    It takes what it can from the configurations that run (`scope`), and touches nothing of theirs: it may be called
    from another thread than the loop's.
    """
    forwarding = scope.take("forwarding", config.forwarding, make=lambda: Forwarding(config.forwarding))

    def upstream(name: str | None, settings: UpstreamSettings) -> Upstream:
        location = parse_server(settings.url)

        def make() -> Pool:
            return Pool(make_endpoint(location, settings.tls), settings.pool, ticker, loop)

        pool = scope.take("upstream", name, settings, make=make)
        return Upstream(pool, location.authority.encode(), telemetry.upstream(name or str(pool.endpoint)))

    apps = {name: upstream(name, settings) for name, settings in upstreams(config).items()}

    verifiers = Verifiers(config, scope, forwarding, telemetry, ticker, loop)
    refusals = Refusals(config.challenge, config.dpop)

    keeping = _keeping(config)
    everything = config.log.decisions == "all"

    def route(rule: Rule) -> tuple[Place, Route]:
        path = PathTemplate.parse(rule.path)
        reports = rule.mode == "report"
        found = Route(
            requirement=Requirement(rule, path),
            reports=reports,
            watched=reports or everything,
            asks=not rule.public,
            ends_with_token=config.forwarding.end_with_token and not reports,
            refusals=refusals.of(rule),
            metrics=telemetry.route(rule.name),
            verifier=verifiers.of(rule),
            upstream=apps[rule.upstream],
            demand=LookupOptions(max_age=rule.max_answer_age, stale=rule.on_outage == "stale"),
        )
        return Place(path, rule.methods, rule.host), found

    reports = config.mode == "report"
    no_route = Route(
        requirement=None,
        reports=reports,
        watched=reports or everything,
        asks=reports,
        ends_with_token=False,
        refusals=refusals.of(None),
        metrics=telemetry.route(NO_ROUTE),
        verifier=verifiers.without_rule(),
        # Where there is none for rules that name none, nothing is forwarded without a rule.
        upstream=apps.get(None) or next(iter(apps.values())),
        demand=LookupOptions(),
    )
    matcher = Matcher(map(route, resolved_rules(config)))
    field = None if config.would_deny_field is None else config.would_deny_field.encode()
    unserved = replace(no_route, reports=False, asks=False)
    unseen = config.limits.unseen_tokens
    wrong = scope.take("wrong proofs", unseen, make=lambda: AddressLimiter(unseen))
    proofs = Proofs(config.dpop, ProofState(scope.take("used proofs", make=ReplayCache), wrong))
    limits, timeouts = config.limits, config.timeouts
    snapshot = Snapshot(
        matcher,
        no_route,
        unserved,
        forwarding,
        limits,
        timeouts,
        proofs,
        field,
        keeping,
        matcher.by_host,
        LifetimeToken(),
    )
    return snapshot, verifiers.memory


class LifetimeToken:
    """Ends when nothing holds it any more."""

    __slots__ = ("__weakref__",)


def _keeping(config: Config) -> RetentionSettings | None:
    """Return what is kept of decisions; without the credential nobody can ask for the last denials."""
    denials = 0 if config.admin.credential is None else config.admin.denials
    if not denials and config.log.decisions == "none":
        return None
    return RetentionSettings(denials, config.log.decisions, config.log.backlog)
