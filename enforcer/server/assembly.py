"""Makes a configuration ready to judge requests by."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import fields
from typing import Final

from enforcer.config.addresses import parse_server
from enforcer.config.effective import effective_rules, upstreams
from enforcer.config.model import AuthorizationServer, Config
from enforcer.config.model import Upstream as UpstreamSettings
from enforcer.policy.matcher import Matcher, Place
from enforcer.policy.rules import Path as PathTemplate
from enforcer.policy.rules import Requirement, Rule
from enforcer.proxy.decisions import Keeping
from enforcer.proxy.forwarding import Forwarding
from enforcer.proxy.proofs import Proofs
from enforcer.proxy.refusals import Refusals
from enforcer.proxy.snapshot import Route, Snapshot, Upstream
from enforcer.server.parts import Lease
from enforcer.server.sources import make_endpoint, make_source
from enforcer.telemetry import NO_ROUTE, Telemetry
from enforcer.tokens.cache import Cache, Keys
from enforcer.tokens.limiter import UnseenLimiter
from enforcer.tokens.replays import ReplayCache
from enforcer.tokens.verifier import Demand, Memory, Verifier
from enforcer.wire.client import Pool
from enforcer.wire.ticker import Ticker


def assemble(
    config: Config, lease: Lease, telemetry: Telemetry, ticker: Ticker, loop: asyncio.AbstractEventLoop
) -> tuple[Snapshot, Memory]:
    """Make a configuration ready to judge requests by, with what it will remember of tokens.

    It takes what it can from the configurations that run (`lease`), and touches nothing of theirs: it may be called
    from another thread than the loop's.
    """
    forwarding = lease.take("forwarding", config.forwarding, make=lambda: Forwarding(config.forwarding))

    def upstream(name: str | None, settings: UpstreamSettings) -> Upstream:
        location = parse_server(settings.url)

        def make() -> Pool:
            return Pool(make_endpoint(location, settings.tls), settings.pool, ticker, loop)

        pool = lease.take("upstream", name, settings, make=make)
        return Upstream(pool, location.authority.encode(), telemetry.upstream(name or str(pool.endpoint)))

    apps = {name: upstream(name, settings) for name, settings in upstreams(config).items()}

    def remembering() -> Cache[bytes]:
        cache: Cache[bytes] = Cache(config.cache)
        earlier = lease.newest("cache")
        if earlier is not None:
            cache.take_over(earlier, forwarding.identity)
        return cache

    # What is prepared of an answer is made from the settings of the identity.
    cache = lease.take("cache", config.cache, config.forwarding.identity, make=remembering)
    settings = config.limits.unseen_tokens
    limiter = lease.take("limiter", settings, make=lambda: UnseenLimiter(settings))

    def verifier(server: AuthorizationServer) -> Verifier:
        keys = lease.take("keys", *_says(server), make=lambda: Keys(server.name))
        source = lease.take("source", server, make=lambda: make_source(server, ticker, loop))
        metrics = telemetry.server(server.name)
        after = math.ceil(server.retry_after)

        def make() -> Verifier:
            return Verifier(server.name, source, cache, keys, limiter, forwarding.identity, metrics, time.time, after)

        return lease.take("verifier", source, cache, keys, limiter, make=make)

    verifiers: dict[str | None, Verifier] = {}
    for server in config.authorization_servers:
        found = verifier(server)
        for name in (server.name, None):
            verifiers.setdefault(name, found)

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
            verifier=verifiers[rule.authorization_server],
            upstream=apps[rule.upstream],
            demand=Demand(max_age=rule.max_answer_age, stale=rule.on_outage == "stale"),
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
        verifier=verifiers[None],
        # Where there is none for rules that name none, nothing is forwarded without a rule.
        upstream=apps.get(None) or next(iter(apps.values())),
        demand=Demand(),
    )
    matcher = Matcher(map(route, effective_rules(config)))
    field = None if config.would_deny_field is None else config.would_deny_field.encode()
    proofs = Proofs(config.dpop, lease.take("replays", make=ReplayCache))
    limits, timeouts = config.limits, config.timeouts
    snapshot = Snapshot(matcher, no_route, forwarding, limits, timeouts, proofs, field, keeping, matcher.by_host)
    return snapshot, Memory(cache, tuple(verifiers.values()))


_HOW_IT_IS_ASKED: Final = {"client_secret", "tls", "timeout", "max_answer", "retry_after", "breaker", "keys", "pool"}


def _says(server: AuthorizationServer) -> tuple[object, ...]:
    """Return the settings that decide what a server says: while they stay, what it has said is remembered."""
    return tuple(getattr(server, field.name) for field in fields(server) if field.name not in _HOW_IT_IS_ASKED)


def _keeping(config: Config) -> Keeping | None:
    """Return what is kept of decisions; without the credential nobody can ask for the last denials."""
    denials = 0 if config.admin.credential is None else config.admin.denials
    if not denials and config.log.decisions == "none":
        return None
    return Keeping(denials, config.log.decisions, config.log.backlog)
