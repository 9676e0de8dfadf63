"""What tells each rule what tokens are worth: a verifier for each authorization server, or several of them in turn."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from enforcer.config.model import Config
from enforcer.config.resolved import issuer_scopes, servers_for
from enforcer.errors import IntrospectionError
from enforcer.policy.rules import Rule
from enforcer.proxy.forwarding import Forwarding
from enforcer.server.resources import ResourceScope, SharedResources
from enforcer.server.sources import Fetched, make_source
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.telemetry import Telemetry
from enforcer.tokens.cache import CacheEntry, CacheKeys, TokenCache
from enforcer.tokens.introspection.response import ActiveToken, VerificationResult
from enforcer.tokens.issuers import MultiIssuerVerifier, TrustedIssuer
from enforcer.tokens.limiter import AddressLimiter
from enforcer.tokens.verifier import CacheControl, CachingVerifier, LookupOptions, TokenSource
from enforcer.wire.ticker import Ticker


class Verifiers:
    """Those of a configuration, with what it remembers of tokens.

    It takes what it can from the configurations that run (`scope`), and touches nothing of theirs.
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
            # Compiled code lets no other thread run: this is not, and there may be many answers to take over.
            return forwarding.identity(answer)

        def remembering() -> TokenCache:
            cache: TokenCache = TokenCache(config.cache)
            earlier = scope.newest("cache")
            if earlier is not None:
                cache.take_over(earlier, prepare)
            return cache

        # What is prepared of an answer is made from the settings of the identity.
        cache = scope.take("cache", config.cache, config.forwarding.identity, make=remembering)
        settings = config.limits.unseen_tokens
        limiter = scope.take("limiter", settings, make=lambda: AddressLimiter(settings))
        self._config = config
        self._domains = issuer_scopes(config)

        def verifier(server: AuthorizationServer) -> CachingVerifier:
            domain = self._domains[server.name]
            metrics = telemetry.server(server.name)
            says = _says(server)
            keys = scope.take("keys", *says, domain, make=lambda: CacheKeys(server.name))
            fetched = scope.take("fetched", *says, server.keys, server.metadata, make=Fetched)

            def making() -> TokenSource:
                return make_source(server, domain, fetched, metrics, ticker, loop)

            source = scope.take("source", server, domain, make=making)
            after = math.ceil(server.retry_after)

            def make() -> CachingVerifier:
                return CachingVerifier(
                    server.name, source, cache, keys, limiter, forwarding.identity, metrics, time.time, after
                )

            return scope.take("verifier", source, cache, keys, limiter, make=make)

        self._by_server = {server.name: verifier(server) for server in config.authorization_servers}
        self.memory = CacheControl(cache, tuple(self._by_server.values()))

    def of(self, rule: Rule) -> CachingVerifier | MultiIssuerVerifier:
        """Return what tells a rule, as it is judged (`resolved_rules`), what tokens are worth."""
        servers = servers_for(self._config, rule)
        if len(servers) == 1:
            return self._by_server[servers[0].name]
        trusted = [self._trusted(server, rule.issuer, rule.audience) for server in servers]
        return MultiIssuerVerifier(trusted, in_order=rule.ask_in_order, clock=time.time)

    def without_rule(self) -> CachingVerifier | MultiIssuerVerifier:
        """Return what tells of tokens where no rule asks for more than their server's settings do."""
        first = self._config.authorization_servers[0]
        if first.issuer is None and not first.audience:
            return self._by_server[first.name]
        return MultiIssuerVerifier([self._trusted(first, (), ())], in_order=False, clock=time.time)

    def _trusted(self, server: AuthorizationServer, issuers: Sequence[str], audience: Sequence[str]) -> TrustedIssuer:
        issuer = () if server.issuer is None else (server.issuer,)
        return TrustedIssuer(
            self._by_server[server.name],
            self._domains[server.name],
            _of_these(issuers, issuer),
            _of_these(audience, server.audience),
        )


_HOW_IT_IS_ASKED: Final = {
    *("client_secret", "client_key", "tls", "timeout", "max_answer", "retry_after", "breaker", "keys", "metadata"),
    *("pool", "audience"),
}


def _says(server: AuthorizationServer) -> tuple[object, ...]:
    """Return the settings that decide what a server says: while they stay, what it has said is remembered."""
    return tuple(getattr(server, field.name) for field in fields(server) if field.name not in _HOW_IT_IS_ASKED)


def _of_these(rules: Sequence[str], servers: Sequence[str]) -> frozenset[str]:
    """Return which of a server's values its tokens must have where a rule needs some: those that the rule needs too."""
    return frozenset(servers if not rules else (one for one in servers if one in rules))


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nobody said what a token is worth; `retry_after` is in seconds."""

    error: IntrospectionError
    retry_after: int


async def ask(config: Config, rule: Rule, token: bytes) -> VerificationResult | NoAnswer:
    """Ask once what a token is worth to a rule, as when serving."""
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    scope = SharedResources().scope()
    verifiers = Verifiers(config, scope, Forwarding(config.forwarding), Telemetry(""), ticker, loop)
    asking = _Asking(loop.create_future())
    try:
        entry = verifiers.of(rule).verify(token, time.time(), asking, LookupOptions())
        return await asking.told if entry is None else entry.result
    finally:
        scope.end()
        ticker.stop()


class _Asking:
    """A `Waiter` that keeps what it is told."""

    address = ""

    def __init__(self, told: asyncio.Future[VerificationResult | NoAnswer]) -> None:
        self.told = told

    def on_answer(self, entry: CacheEntry) -> None:
        self.told.set_result(entry.result)

    def on_no_answer(self, error: IntrospectionError, retry_after: int) -> None:
        self.told.set_result(NoAnswer(error, retry_after))

    def on_too_many(self, retry_after: int) -> None:
        raise AssertionError("one token is not too many")
