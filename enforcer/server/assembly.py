"""Makes a configuration ready to judge requests by."""

from __future__ import annotations

import asyncio
import math
import time

from enforcer.config.addresses import parse_server
from enforcer.config.effective import effective_rules
from enforcer.config.model import Config
from enforcer.policy.matcher import Matcher, Place
from enforcer.policy.rules import Path as PathTemplate
from enforcer.policy.rules import Requirement, Rule
from enforcer.proxy.forwarding import Forwarding
from enforcer.proxy.refusals import RuleRefusals
from enforcer.proxy.snapshot import Route, Snapshot, Upstream
from enforcer.server.sources import make_endpoint, make_source
from enforcer.telemetry import NO_ROUTE, Telemetry
from enforcer.tokens.cache import Cache
from enforcer.tokens.limiter import UnseenLimiter
from enforcer.tokens.verifier import Demand, Memory, Verifier
from enforcer.wire.client import Pool
from enforcer.wire.ticker import Ticker


def assemble(
    config: Config, telemetry: Telemetry, ticker: Ticker, loop: asyncio.AbstractEventLoop
) -> tuple[Snapshot, Memory]:
    """Make a configuration ready to judge requests by, with what it will remember of tokens."""
    forwarding = Forwarding(config.forwarding)
    cache: Cache[bytes] = Cache(config.cache)
    telemetry.cache_entries = cache.__len__
    telemetry.cache_evictions = lambda: cache.evictions
    app = parse_server(config.upstream.url)
    endpoint = make_endpoint(app, config.upstream.tls)
    upstream = Upstream(
        Pool(endpoint, config.upstream.pool, ticker, loop), app.authority.encode(), telemetry.upstream(str(endpoint))
    )
    limiter = UnseenLimiter(config.limits.unseen_tokens)
    verifiers: dict[str | None, Verifier] = {}
    for server in config.authorization_servers:
        source = make_source(server, ticker, loop)
        verifier = Verifier(
            server.name,
            source,
            cache,
            limiter,
            forwarding.identity,
            telemetry.server(server.name),
            time.time,
            math.ceil(server.retry_after),
        )
        for name in (server.name, None):
            verifiers.setdefault(name, verifier)

    prepared: dict[tuple[tuple[str, ...], ...], RuleRefusals] = {}

    def refusals(rule: Rule) -> RuleRefusals:
        # Rules that need the same scopes are refused in the same words.
        found = prepared.get((rule.scopes, rule.any_scope))
        if found is None:
            found = prepared[rule.scopes, rule.any_scope] = RuleRefusals(rule, config.challenge)
        return found

    def route(rule: Rule) -> tuple[Place, Route]:
        path = PathTemplate.parse(rule.path)
        reports = rule.mode == "report"
        found = Route(
            requirement=Requirement(rule, path),
            reports=reports,
            asks=not rule.public,
            ends_with_token=config.forwarding.end_with_token and not reports,
            refusals=refusals(rule),
            metrics=telemetry.route(rule.name),
            verifier=verifiers[rule.authorization_server],
            upstream=upstream,
            demand=Demand(max_age=rule.max_answer_age, stale=rule.on_outage == "stale"),
        )
        return Place(path, rule.methods, rule.host), found

    reports = config.mode == "report"
    no_route = Route(
        requirement=None,
        reports=reports,
        asks=reports,
        ends_with_token=False,
        refusals=RuleRefusals(None, config.challenge),
        metrics=telemetry.route(NO_ROUTE),
        verifier=verifiers[None],
        upstream=upstream,
        demand=Demand(),
    )
    matcher = Matcher(map(route, effective_rules(config)))
    field = None if config.would_deny_field is None else config.would_deny_field.encode()
    snapshot = Snapshot(matcher, no_route, forwarding, config.limits, config.timeouts, field, matcher.by_host)
    return snapshot, Memory(cache, tuple(verifiers.values()))
