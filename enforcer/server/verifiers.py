"""Builds the token verifier of each rule: one authorization server's, or one that chooses among several."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Final

from enforcer.clients import OWN
from enforcer.config.model import Config
from enforcer.config.resolved import claims_read, issuer_scopes, servers_for
from enforcer.policy.rules import Rule
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.server.resources import ResourceScope, SharedResources
from enforcer.server.sources import Fetched, SourceBuilder
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.share_report import SharedTable
from enforcer.telemetry import Telemetry
from enforcer.tokens.cache import CacheEntry, CacheKeys, TokenCache
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.introspection.response import VerificationResult
from enforcer.tokens.issuers import MultiIssuerVerifier, TrustedIssuer
from enforcer.tokens.limiter import ClientLimiter
from enforcer.tokens.retention import Retention
from enforcer.tokens.verifier import (
    CacheControl,
    CachingVerifier,
    LookupOptions,
    VerificationFailure,
    VerificationOutcome,
)
from enforcer.wire.ticker import Ticker


class Verifiers:
    """The verifiers of a configuration, and their token cache.

    It reuses resources of running configurations (`scope`) without changing them.
    """

    def __init__(
        self,
        config: Config,
        scope: ResourceScope,
        forwarding: Forwarding,
        telemetry: Telemetry,
        ticker: Ticker,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        def prepare(answer: ActiveToken) -> bytes:
            # An interpreted function between compiled calls lets other threads run while many entries are taken over.
            return forwarding.identity_fields(answer)

        def make_cache() -> TokenCache:
            reports = telemetry.shares[SharedTable.ACTIVE], telemetry.shares[SharedTable.INACTIVE]
            by_client = config.limits.client_share < 100
            cache = TokenCache(config.cache, Retention(names, identity, whole), by_client=by_client, held_back=reports)
            earlier = scope.newest("cache")
            if earlier is not None:
                cache.take_over(earlier, prepare)
            return cache

        # Entries have the claims that the rules read, and identity fields that were written with the identity settings.
        (names, whole), identity = claims_read(config), config.forwarding.identity
        cache: TokenCache = scope.take(
            "cache", config.cache, names, whole, identity, config.limits.client_share == 100, make=make_cache
        )
        settings, share = config.limits.unseen_tokens, config.limits.client_share
        held_back = telemetry.shares[SharedTable.INTROSPECTION]
        limiter = scope.take("limiter", settings, make=lambda: ClientLimiter(settings))
        self._config = config
        self._domains = issuer_scopes(config)

        def verifier(server: AuthorizationServer) -> CachingVerifier:
            domain = self._domains[server.name]
            metrics = telemetry.server(server.name)
            identity = _identity(server)
            keys = scope.take("keys", *identity, domain, make=lambda: CacheKeys(server.name))
            fetched = scope.take("fetched", *identity, server.keys, server.metadata, make=Fetched)

            builder = SourceBuilder(server, fetched, metrics, ticker, loop, share, held_back)
            source = scope.take("source", server, domain, share, make=partial(builder.source, domain))
            state = source, cache, keys, limiter
            write, retry = forwarding.identity_fields, math.ceil(server.retry_after)
            make = partial(CachingVerifier, server.name, *state, write, metrics, time.time, retry)
            return scope.take("verifier", *state, make=make)

        self._by_server = {server.name: verifier(server) for server in config.authorization_servers}
        self.memory = CacheControl(cache, tuple(self._by_server.values()))

    def of(self, rule: Rule) -> CachingVerifier | MultiIssuerVerifier:
        """Return the verifier of a rule with its defaults applied (`resolved_rules`)."""
        servers = servers_for(self._config, rule)
        if len(servers) == 1:
            return self._by_server[servers[0].name]
        trusted = [self._trusted(server, rule.issuer, rule.audience) for server in servers]
        return MultiIssuerVerifier(trusted, in_order=rule.ask_in_order, clock=time.time)

    def without_rule(self) -> CachingVerifier | MultiIssuerVerifier:
        """Return the verifier of requests that match no rule: the first server's, with that server's conditions."""
        first = self._config.authorization_servers[0]
        if first.issuer is None and not first.audience:
            return self._by_server[first.name]
        return MultiIssuerVerifier([self._trusted(first, (), ())], in_order=False, clock=time.time)

    def _trusted(self, server: AuthorizationServer, issuers: Sequence[str], audience: Sequence[str]) -> TrustedIssuer:
        accepted = accepted_values(server, issuers, audience)
        return TrustedIssuer(self._by_server[server.name], self._domains[server.name], *accepted)


_NOT_IDENTIFYING: Final = {
    *("client_secret", "client_key", "tls", "timeout", "max_answer", "retry_after", "breaker", "keys", "metadata"),
    *("pool", "audience"),
}


def _identity(server: AuthorizationServer) -> tuple[object, ...]:
    """Return the settings that identify a server. Cached results stay valid while they do not change."""
    return tuple(getattr(server, field.name) for field in fields(server) if field.name not in _NOT_IDENTIFYING)


def accepted_values(
    server: AuthorizationServer, issuers: Sequence[str], audience: Sequence[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the issuers and audiences of which a token of one of several servers must have one; empty for any.

    `issuers` and `audience` are those of the rule.
    """
    issuer = () if server.issuer is None else (server.issuer,)
    return _required(issuers, issuer), _required(audience, server.audience)


def _required(rules: Sequence[str], servers: Sequence[str]) -> frozenset[str]:
    """Return the values that a server's tokens must have: the server's own, except those that the rule excludes."""
    return frozenset(servers if not rules else (value for value in servers if value in rules))


async def verify_once(config: Config, rule: Rule, token: bytes) -> VerificationResult | VerificationFailure:
    """Verify a token once, as for a request that matches the rule."""
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    scope = SharedResources().scope()
    verifiers = Verifiers(config, scope, Forwarding(config.forwarding), Telemetry(""), ticker, loop)
    listener = _Listener(loop.create_future())
    try:
        outcome = verifiers.of(rule).verify(token, time.time(), listener, LookupOptions())
        if outcome is None:
            outcome = await listener.outcome
        return outcome.result if isinstance(outcome, CacheEntry) else outcome
    finally:
        scope.end()
        ticker.stop()


@dataclass(frozen=True, slots=True)
class _Listener:
    """A listener that sets a future."""

    outcome: asyncio.Future[VerificationOutcome]
    client: str = OWN

    def on_verification(self, outcome: VerificationOutcome) -> None:
        self.outcome.set_result(outcome)
