"""Builds an authorization server's token source (introspection, JWT verification or both) from its settings."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from enforcer.config import authorization_server
from enforcer.counters import IntrospectionMetrics
from enforcer.settings.addresses import Location, parse_url
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.settings.limits import DEFAULT_SHARE
from enforcer.settings.tls import ClientTLS
from enforcer.share_report import SharedTable, ShareReport
from enforcer.tokens.introspection.client import JSON_TYPE, JWT_TYPE, IntrospectionClient, JsonReader, ResponseReader
from enforcer.tokens.introspection.client_authentication import Authentication
from enforcer.tokens.introspection.client_credentials import BearerAuthentication, OwnAccessToken, TokenRequest
from enforcer.tokens.introspection.endpoint import DiscoveredEndpoint, KnownEndpoint, ServerEndpoint
from enforcer.tokens.introspection.metadata import EndpointName, Metadata, parse, well_known_urls
from enforcer.tokens.issuers import IssuerFilter, IssuerScope
from enforcer.tokens.refresh_schedule import Lifetime, RefreshSchedule
from enforcer.tokens.remote_document import DocumentFetcher, FirstAvailable, RemoteDocument
from enforcer.tokens.verifier import TokenSource
from enforcer.wire.http_client import HttpClient
from enforcer.wire.pool import Pool, ServerAddress
from enforcer.wire.ticker import Ticker

if TYPE_CHECKING:
    from enforcer.tokens.jwt.jwks import KeySet

Fetched = dict[str, RefreshSchedule[Any]]
"""Remote documents of an authorization server, by kind: `keys` and `metadata`."""


@dataclass(frozen=True, eq=False)
class SourceBuilder:
    """Builds one source of a server. Endpoints, keys and metadata are built on first use, and once.

    The `fetched` documents are shared with other sources of the same server, so that a reload need not fetch them.
    """

    server: AuthorizationServer
    fetched: Fetched
    metrics: IntrospectionMetrics
    ticker: Ticker
    loop: asyncio.AbstractEventLoop
    share: int = DEFAULT_SHARE
    held_back: ShareReport = field(default_factory=partial(ShareReport, SharedTable.INTROSPECTION))

    def source(self, domain: IssuerScope) -> TokenSource:
        """Return the source that the server's `verify` setting requires. It owns its connections until it is closed."""
        server = self.server
        introspector = None if server.verify == "jwt" else self._introspector(domain)
        if introspector is not None and server.verify == "introspect":
            return introspector
        # Imported late, because cryptography is large, and introspection does not need it.
        from enforcer.tokens.jwt.jwt_source import JwtSource

        return JwtSource(self._keys, authorization_server.issuer(server), server.jwt, introspector, time.time)

    def _introspector(self, domain: IssuerScope) -> TokenSource:
        own = self.server.own_token
        authentication = self._client("introspection_endpoint") if own is None else self._bearer(own)
        endpoint, reader = self._endpoint("introspection_endpoint"), self._reader()
        introspector = IntrospectionClient(
            self.server.name, endpoint, authentication, reader, self.server.breaker, self.server.pool, self.ticker
        )
        return introspector if domain == IssuerScope() else IssuerFilter(introspector, domain)

    def _reader(self) -> ResponseReader:
        server = self.server
        if not server.signed_answers:
            return JsonReader()
        from enforcer.tokens.introspection.jwt_introspection import JwtReader

        return JwtReader(self._keys, authorization_server.expected_response(server), time.time)

    @cached_property
    def _keys(self) -> RemoteDocument[KeySet]:
        from enforcer.tokens.jwt.key_reader import KeyReader

        server = self.server
        life = Lifetime(server.keys.refresh, server.keys.max_age)
        return RemoteDocument(
            f"the keys of authorization server {server.name}",
            DocumentFetcher(self._endpoint("jwks_uri"), KeyReader(server.name).read),
            self.fetched.setdefault("keys", RefreshSchedule(lambda _: life, server.keys.pause)),
            self.ticker,
            self.metrics.fetches["keys"],
        )

    def _bearer(self, settings: OwnTokenSettings) -> Authentication:
        request = TokenRequest(
            self._endpoint("token_endpoint"), self._client("token_endpoint"), settings.scopes, settings.lifetime
        )
        token: RemoteDocument[OwnAccessToken] = RemoteDocument(
            f"our own access token of authorization server {self.server.name}",
            request,
            RefreshSchedule(lambda token: token.lifetime(settings.renew_ahead), settings.pause),
            self.ticker,
            self.metrics.fetches["own_token"],
        )
        return BearerAuthentication(token)

    def _client(self, endpoint: EndpointName) -> Authentication:
        return authorization_server.authenticator(self.server, endpoint, time.time)

    def _endpoint(self, name: EndpointName) -> ServerEndpoint:
        url = authorization_server.endpoints(self.server)[name]
        signed = name == "introspection_endpoint" and self.server.signed_answers
        make = partial(self._known, accept=JWT_TYPE if signed else JSON_TYPE)
        return make(url) if url is not None else DiscoveredEndpoint(name, self._metadata, make)

    @cached_property
    def _metadata(self) -> RemoteDocument[Metadata]:
        server = self.server
        issuer = authorization_server.issuer(server)
        read = partial(parse, issuer=issuer, mutual_tls=server.mutual_tls)
        life = Lifetime(server.metadata.refresh, math.inf)
        return RemoteDocument(
            f"the metadata of authorization server {server.name}",
            FirstAvailable([DocumentFetcher(self._known(url), read) for url in well_known_urls(issuer)]),
            self.fetched.setdefault("metadata", RefreshSchedule(lambda _: life, server.metadata.pause)),
            self.ticker,
            self.metrics.fetches["metadata"],
        )

    def _known(self, url: str, accept: str = JSON_TYPE) -> KnownEndpoint:
        server = self.server
        location = parse_url(url)
        endpoint = make_endpoint(location, server.tls, self._tls if location.secure else None)
        pool = Pool(endpoint, server.pool, self.ticker, self.loop, self.share, self.held_back)
        caller = HttpClient(pool, timeout=server.timeout, max_body=server.max_answer)
        return KnownEndpoint(caller, location.authority, location.target, accept)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Built once for all endpoints, because it loads the system's authorities, some 150.
        return (self.server.tls or ClientTLS()).context


def make_endpoint(location: Location, tls: ClientTLS | None, context: ssl.SSLContext | None = None) -> ServerAddress:
    """Return the endpoint of a pool: address, and TLS verification. `context`: that of `tls`, if it exists."""
    if not location.secure:
        return ServerAddress(host=location.host, port=location.port, unix=location.unix)
    tls = tls or ClientTLS()
    name = tls.server_name or location.host
    return ServerAddress(host=location.host, port=location.port, tls=context or tls.context, server_name=name)
