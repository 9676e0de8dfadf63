"""The composition root: sockets, clocks and signals; everything is built here, once."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import resource
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import uvicorn
import uvloop

from enforcer.config.addresses import Location, parse_address, parse_server, parse_url
from enforcer.config.effective import effective_rules
from enforcer.config.load import Loaded, load
from enforcer.config.model import AuthorizationServer, ClientTLS, Config
from enforcer.errors import EnforcerError, IntrospectionError
from enforcer.operations import logs
from enforcer.operations.admin import admin
from enforcer.policy.matcher import Matcher, Place
from enforcer.policy.rules import Path as PathTemplate
from enforcer.policy.rules import Requirement, Rule
from enforcer.proxy.forwarding import Forwarding
from enforcer.proxy.gateway import Gateway
from enforcer.proxy.refusals import RuleRefusals
from enforcer.proxy.snapshot import Route, Snapshot, Upstream
from enforcer.telemetry import NO_ROUTE, Telemetry
from enforcer.tokens.answer import Answer
from enforcer.tokens.cache import Cache
from enforcer.tokens.client_authentication import secret_basic, secret_post
from enforcer.tokens.introspection import Introspector
from enforcer.tokens.limiter import UnseenLimiter
from enforcer.tokens.verifier import Demand, Memory, Source, Verifier
from enforcer.wire.call import Caller
from enforcer.wire.client import Endpoint, Pool
from enforcer.wire.ticker import Ticker

_log = logging.getLogger("enforcer")


class AddressError(EnforcerError):
    """An address that cannot be listened on."""


def _admit(config: Config) -> None:
    """Raise the limit on descriptors to what all connections that the settings allow need."""
    pools = [config.upstream.pool, *(server.pool for server in config.authorization_servers)]
    wanted = config.limits.connections + sum(pool.connections for pool in pools) + 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < reachable:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    if reachable < wanted:
        _log.warning("limits.connections may not be reached: %d descriptors are allowed, %d needed", reachable, wanted)


def run(path: Path, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT; raises ConfigError and AddressError before anything is served."""
    loaded = load(path, environment)
    logs.configure(loaded.config.log.level, loaded.config.log.format)
    _admit(loaded.config)
    gateway_socket = _bind(loaded.config.listener.address, "listener.address", path)
    admin_socket = _bind(loaded.config.admin.address, "admin.address", path)
    uvloop.run(_serve(loaded, gateway_socket, admin_socket))


async def _serve(loaded: Loaded, gateway_socket: socket.socket, admin_socket: socket.socket) -> None:
    config = loaded.config
    telemetry = Telemetry(version("token-enforcer"))
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    snapshot, memory = assemble(config, telemetry, ticker, loop)
    gateway = Gateway(snapshot, telemetry, ticker)
    tls = config.listener.tls
    context = tls.context() if tls is not None else None
    front = _Server(
        uvicorn.Config(
            _no_application,
            http=gateway.protocol,  # type: ignore[arg-type] # a factory serves as well as the class
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=math.ceil(config.timeouts.drain),
            ssl_context_factory=(lambda *_: context) if context is not None else None,
        )
    )
    back = _Server(
        uvicorn.Config(
            admin(telemetry, memory, config.admin.credential),
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )

    def stop() -> None:
        if telemetry.draining:
            front.force_exit = back.force_exit = True
        _log.info("stopping: no new connections, running requests end within %s s", config.timeouts.drain)
        telemetry.ready = False
        telemetry.draining = True
        front.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    behind = asyncio.create_task(back.serve([admin_socket]), name="admin")
    telemetry.loaded(loaded.hash)
    # What was built lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    running = asyncio.create_task(front.serve([gateway_socket]), name="gateway")
    await front.listening.wait()
    telemetry.ready = not telemetry.draining
    _log.info("serving %s on %s, admin on %s", config.upstream.url, _name(gateway_socket), _name(admin_socket))
    await running
    gateway.abort()
    back.should_exit = True
    await behind
    ticker.stop()
    _log.info("stopped")


def assemble(
    config: Config, telemetry: Telemetry, ticker: Ticker, loop: asyncio.AbstractEventLoop
) -> tuple[Snapshot, Memory]:
    """Make a configuration ready to judge requests by, with what it will remember of tokens."""
    forwarding = Forwarding(config.forwarding)
    cache: Cache[bytes] = Cache(config.cache)
    telemetry.cache_entries = cache.__len__
    telemetry.cache_evictions = lambda: cache.evictions
    app = parse_server(config.upstream.url)
    endpoint = _endpoint(app, config.upstream.tls)
    upstream = Upstream(
        Pool(endpoint, config.upstream.pool, ticker, loop), app.authority.encode(), telemetry.upstream(str(endpoint))
    )
    limiter = UnseenLimiter(config.limits.unseen_tokens)
    verifiers: dict[str | None, Verifier] = {}
    for server in config.authorization_servers:
        source, _ = _source(server, ticker, loop)
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
        found = Route(
            Requirement(rule, path),
            refusals(rule),
            telemetry.route(rule.name),
            verifiers[rule.authorization_server],
            upstream,
            Demand(max_age=rule.max_answer_age, stale=rule.on_outage == "stale"),
        )
        return Place(path, rule.methods, rule.host), found

    no_route = Route(
        None, RuleRefusals(None, config.challenge), telemetry.route(NO_ROUTE), verifiers[None], upstream, Demand()
    )
    matcher = Matcher(map(route, effective_rules(config)))
    snapshot = Snapshot(matcher, no_route, forwarding, config.limits, config.timeouts)
    return snapshot, Memory(cache, tuple(verifiers.values()))


async def ask(server: AuthorizationServer, token: bytes) -> Answer:
    """Ask once what a token is worth, as when serving; raises IntrospectionError."""
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    source, pools = _source(server, ticker, loop)
    told: asyncio.Future[Answer | IntrospectionError] = loop.create_future()
    source.introspect(token, told.set_result)
    try:
        result = await told
    finally:
        ticker.stop()
        for pool in pools:
            await pool.close()
    if isinstance(result, IntrospectionError):
        raise result
    return result


def _source(
    server: AuthorizationServer, ticker: Ticker, loop: asyncio.AbstractEventLoop
) -> tuple[Source, tuple[Pool, ...]]:
    """Make what says what a server's tokens are worth, and the pools of connections to it."""
    endpoint = parse_url(server.introspection_endpoint)
    caller = _caller(server, endpoint, ticker, loop)
    authenticate = secret_basic if server.client_authentication == "client_secret_basic" else secret_post
    authentication = authenticate(server.client_id, server.client_secret)
    introspector = Introspector(caller, endpoint.authority, endpoint.target, authentication, server.breaker)
    if server.verify == "introspect" or server.issuer is None or server.jwks_uri is None:
        return introspector, (caller.pool,)
    # Cryptography is a large import, and most need none.
    from enforcer.tokens.fetcher import Fetcher
    from enforcer.tokens.keysource import KeySource
    from enforcer.tokens.signed import SignedTokens

    location = parse_url(server.jwks_uri)
    fetching = _caller(server, location, ticker, loop)
    document = Fetcher(fetching, location.authority, location.target)
    keys = KeySource(server.name, document, server.keys, ticker)
    signed = SignedTokens(keys, server.issuer, server.jwt, introspector, time.time)
    return signed, (caller.pool, fetching.pool)


def _caller(server: AuthorizationServer, location: Location, ticker: Ticker, loop: asyncio.AbstractEventLoop) -> Caller:
    pool = Pool(_endpoint(location, server.tls), server.pool, ticker, loop)
    return Caller(pool, timeout=server.timeout, max_answer=server.max_answer)


def _endpoint(location: Location, tls: ClientTLS | None) -> Endpoint:
    if not location.secure:
        return Endpoint(host=location.host, port=location.port, unix=location.unix)
    context = (tls or ClientTLS()).context()
    name = (tls.server_name if tls is not None else None) or location.host
    return Endpoint(host=location.host, port=location.port, tls=context, server_name=name)


def _bind(address: str, setting: str, path: Path) -> socket.socket:
    host, port = parse_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        why = "it is taken" if error.errno == 98 else error.strerror
        raise AddressError(f"cannot listen on {address}: {why}; choose another with {setting} in {path}") from None
    bound.setblocking(False)
    return bound


def _name(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(uvicorn.Server):
    """A server that leaves the signals to `_serve`, which has two of them to stop, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _no_application(scope: object, receive: object, send: object) -> None:
    """Stand for the application that uvicorn wants to have; the protocol class answers all."""
