"""Who says what an authorization server's tokens are worth, made from its settings."""

from __future__ import annotations

import asyncio
import time

from enforcer.config.addresses import Location, parse_url
from enforcer.config.model import AuthorizationServer, ClientTLS
from enforcer.errors import IntrospectionError
from enforcer.tokens.answer import Answer
from enforcer.tokens.client_authentication import secret_basic, secret_post
from enforcer.tokens.introspection import Introspector
from enforcer.tokens.verifier import Source
from enforcer.wire.call import Caller
from enforcer.wire.client import Endpoint, Pool
from enforcer.wire.ticker import Ticker


async def ask(server: AuthorizationServer, token: bytes) -> Answer:
    """Ask once what a token is worth, as when serving; raises IntrospectionError."""
    loop = asyncio.get_running_loop()
    ticker = Ticker(loop)
    source = make_source(server, ticker, loop)
    told: asyncio.Future[Answer | IntrospectionError] = loop.create_future()
    source.introspect(token, told.set_result)
    try:
        result = await told
    finally:
        source.close()
        ticker.stop()
    if isinstance(result, IntrospectionError):
        raise result
    return result


def make_source(server: AuthorizationServer, ticker: Ticker, loop: asyncio.AbstractEventLoop) -> Source:
    """Make what says what a server's tokens are worth; it owns all that it needs for that, until it is closed."""
    endpoint = parse_url(server.introspection_endpoint)
    caller = _caller(server, endpoint, ticker, loop)
    authenticate = secret_basic if server.client_authentication == "client_secret_basic" else secret_post
    authentication = authenticate(server.client_id, server.client_secret)
    introspector = Introspector(caller, endpoint.authority, endpoint.target, authentication, server.breaker)
    if server.verify == "introspect" or server.issuer is None or server.jwks_uri is None:
        return introspector
    # Cryptography is a large import, and most need none.
    from enforcer.tokens.fetcher import Fetcher
    from enforcer.tokens.keysource import KeySource
    from enforcer.tokens.signed import SignedTokens

    location = parse_url(server.jwks_uri)
    fetching = _caller(server, location, ticker, loop)
    document = Fetcher(fetching, location.authority, location.target)
    keys = KeySource(server.name, document, server.keys, ticker)
    return SignedTokens(keys, server.issuer, server.jwt, introspector, time.time)


def _caller(server: AuthorizationServer, location: Location, ticker: Ticker, loop: asyncio.AbstractEventLoop) -> Caller:
    pool = Pool(make_endpoint(location, server.tls), server.pool, ticker, loop)
    return Caller(pool, timeout=server.timeout, max_answer=server.max_answer)


def make_endpoint(location: Location, tls: ClientTLS | None) -> Endpoint:
    """Make where a server is reached, and how it is verified."""
    if not location.secure:
        return Endpoint(host=location.host, port=location.port, unix=location.unix)
    context = (tls or ClientTLS()).context()
    name = (tls.server_name if tls is not None else None) or location.host
    return Endpoint(host=location.host, port=location.port, tls=context, server_name=name)
