"""Builds a snapshot, ready for the request path, from a configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from enforcer.config.model import Config
from enforcer.config.resolved import cookie_origins, resolved_rules, upstreams
from enforcer.counters import METADATA_ROUTE, NO_ROUTE, UpstreamMetrics
from enforcer.decision_log.buffer import RetentionSettings
from enforcer.policy.hierarchy import ScopeHierarchy
from enforcer.policy.matcher import Matcher, RequestPattern
from enforcer.policy.requirement import Requirement, compile_rule
from enforcer.policy.rules import Rule
from enforcer.proxy.messages.cors import Cors
from enforcer.proxy.messages.forwarding import NOT_READ, Forwarding
from enforcer.proxy.messages.responses import Refusals
from enforcer.proxy.snapshot import Route, RouteCache, Snapshot, Upstream
from enforcer.server.listening import affordable_limits
from enforcer.server.requests import make_endpoint
from enforcer.server.resource_metadata import documents
from enforcer.server.resources import ResourceScope
from enforcer.server.verifiers import Verifiers
from enforcer.settings.connections.addresses import parse_server
from enforcer.settings.connections.pool import PoolSettings
from enforcer.settings.connections.servers import Upstream as UpstreamSettings
from enforcer.settings.token_places import ONLY_BEARER, TokenPlaces
from enforcer.share_report import SharedTable
from enforcer.telemetry import Telemetry
from enforcer.tokens.dpop.origins import Origins
from enforcer.tokens.dpop.proof_state import ProofState, key_cache
from enforcer.tokens.dpop.replay_cache import ReplayCache
from enforcer.tokens.limiter import ClientLimiter
from enforcer.tokens.places.cross_site import CookieUse
from enforcer.tokens.places.places import Places
from enforcer.tokens.verifier import CacheControl, LookupOptions
from enforcer.wire.dialing.connector import ServerAddress
from enforcer.wire.pool import Pool
from enforcer.wire.streams import Streams
from enforcer.wire.ticker import Ticker


def assemble(
    config: Config, scope: ResourceScope, telemetry: Telemetry, ticker: Ticker, loop: asyncio.AbstractEventLoop
) -> tuple[Snapshot, CacheControl]:
    """Return the snapshot of a configuration, and its token cache.

    It reuses resources of running configurations (`scope`) without changing them, so that it may run on another thread
    than the event loop's.
    """
    forwarding = scope.take("forwarding", config.forwarding, make=lambda: Forwarding(config.forwarding))

    share = config.limits.client_share

    def upstream(name: str | None, settings: UpstreamSettings) -> Upstream:
        location = parse_server(settings.url)

        def make() -> Pool:
            endpoint = make_endpoint(location, settings.tls, protocol=settings.protocol)
            held_back, http2 = telemetry.shares[SharedTable.UPSTREAM], settings.http2
            streams = Streams(settings.streams, share, telemetry.shares[SharedTable.STREAMS])
            return Pool(endpoint, settings.pool, ticker, loop, share, held_back, streams=streams, http2=http2)

        pool = scope.take("upstream", name, settings, share, make=make)
        metrics = telemetry.upstream(name or str(pool.endpoint))
        metrics.streams = pool.count_streams
        return Upstream(pool, location.authority.encode(), metrics)

    apps = {name: upstream(name, settings) for name, settings in upstreams(config).items()}
    if not apps:
        # Only the decision API is served: nothing is ever forwarded, and this pool opens no connection.
        nowhere = Pool(ServerAddress(host="", port=0), PoolSettings(), ticker, loop, share)
        apps[None] = Upstream(scope.take("no upstream", make=lambda: nowhere), b"", UpstreamMetrics())

    verifiers = Verifiers(config, scope, forwarding, telemetry, ticker, loop)
    hierarchy = ScopeHierarchy(config.scope_implies)
    refusals = Refusals(config.challenge, config.dpop, hierarchy, config.resources)

    places = TokenPlacesByRule(not forwarding.pass_authorization)
    debug = config.log.level == "debug"
    logs_all = debug or config.log.decisions == "all"

    def make_route(rule: Rule, requirement: Requirement) -> Route:
        report_only = rule.mode == "report"
        read_from = places.of(rule.token_from)
        return Route(
            requirement=requirement,
            report_only=report_only,
            logs_allowed=report_only or logs_all,
            reads_request=requirement.reads_request,
            needs_token=not rule.public and not rule.nobody,
            ends_with_token=config.forwarding.end_with_token and not report_only,
            refusals=refusals.of(rule),
            metrics=telemetry.route(rule.name),
            verifier=verifiers.of(rule),
            upstream=apps[rule.upstream],
            lookup=LookupOptions(max_age=rule.max_answer_age, stale=rule.on_outage == "stale"),
            places=read_from,
            read_fields=requirement.read_fields if read_from is None else requirement.read_fields | read_from.names,
            answers_preflights=rule.cors_preflight == "answer",
        )

    def make_routes(rule: Rule) -> list[tuple[RequestPattern, Route]]:
        return [(pattern, make_route(rule, requirement)) for pattern, requirement in compile_rule(rule, hierarchy)]

    report_only = config.mode == "report"
    default_places = places.of(config.rule_defaults.token_from)
    no_route = Route(
        requirement=None,
        report_only=report_only,
        logs_allowed=report_only or logs_all,
        reads_request=False,
        needs_token=report_only,
        ends_with_token=False,
        refusals=refusals.of(None),
        metrics=telemetry.route(NO_ROUTE),
        verifier=verifiers.without_rule(),
        # Without a default upstream, no request is forwarded without a rule, and any upstream will do.
        upstream=apps.get(None) or next(iter(apps.values())),
        lookup=LookupOptions(),
        places=default_places,
        read_fields=NOT_READ if default_places is None else default_places.names,
    )
    served = replace(no_route, report_only=False, needs_token=False)
    own_routes = [
        (pattern, replace(served, responses=by_method, metrics=telemetry.route(METADATA_ROUTE)))
        for pattern, by_method in documents(config)
    ]
    matcher = Matcher(chain(own_routes, chain.from_iterable(map(make_routes, resolved_rules(config)))))
    field = None if config.would_deny_field is None else config.would_deny_field.encode()
    unserved = served
    unseen = config.limits.unseen_tokens
    proof_state = ProofState(
        used=scope.take("used proofs", make=ReplayCache),
        keys=scope.take("proof keys", config.dpop.keys, make=lambda: key_cache(config.dpop.keys)),
        wrong=scope.take("wrong proofs", unseen, make=lambda: ClientLimiter(unseen)),
        share=config.limits.client_share,
        on_share_exceeded=telemetry.shares[SharedTable.PROOFS].add,
    )
    snapshot = Snapshot(
        routes=RouteCache(matcher, no_route, places.all),
        no_route=no_route,
        unserved=unserved,
        forwarding=forwarding,
        limits=affordable_limits(config),
        timeouts=config.timeouts,
        proof_settings=config.dpop,
        origins=Origins(config.dpop.origins),
        proof_state=proof_state,
        token_places=places.all,
        cookie_use=CookieUse(cookie_origins(config)),
        cors=Cors(config.cors) if config.cors.origins else None,
        would_deny_field=field,
        retention=_retention(config),
        http2=config.listener.http2,
        debug=debug,
        lifetime_token=LifetimeToken(),
    )
    return snapshot, verifiers.memory


class TokenPlacesByRule:
    """The places that rules read tokens from, once for equal settings."""

    def __init__(self, restores_authorization: bool) -> None:
        self._restores_authorization = restores_authorization
        self._by_settings: dict[TokenPlaces, Places] = {}

    def of(self, settings: TokenPlaces | None) -> Places | None:
        """Return the places of a rule; None if they are the default."""
        if settings is None or settings == ONLY_BEARER:
            return None
        places = self._by_settings.get(settings)
        if places is None:
            places = Places(settings, restores_authorization=self._restores_authorization)
            self._by_settings[settings] = places
        return places

    @property
    def all(self) -> Sequence[Places]:
        """All places that are not the default."""
        return tuple(self._by_settings.values())


class LifetimeToken:
    """Belongs to one snapshot. It is freed when the last request that uses the snapshot has ended."""

    __slots__ = ("__weakref__",)


def _retention(config: Config) -> RetentionSettings | None:
    """Return which decisions to keep. Without the admin credential, nobody could ask for denials."""
    admin, log = config.admin, config.log
    denials = 0 if admin.credential is None else admin.denials
    if not denials and log.decisions == "none":
        return None
    return RetentionSettings(
        denials=denials,
        denials_memory=admin.denials_memory,
        logged=log.decisions,
        backlog=log.backlog,
        backlog_memory=log.backlog_memory,
        share=config.limits.client_share,
    )
