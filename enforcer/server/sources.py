"""Builds an authorization server's token source (introspection, JWT verification or both) from its settings."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from enforcer.config import authorization_server
from enforcer.counters import IntrospectionMetrics
from enforcer.server.requests import Observe, RequestBuilder
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.settings.limits import DEFAULT_SHARE
from enforcer.share_report import SharedTable, ShareReport
from enforcer.tokens.claims import ScopeClaims
from enforcer.tokens.documents.refresh_schedule import Lifetime, RefreshSchedule
from enforcer.tokens.documents.remote_document import DocumentFetcher, RemoteDocument
from enforcer.tokens.introspection.client import IntrospectionClient
from enforcer.tokens.introspection.client_authentication import Authentication
from enforcer.tokens.introspection.client_credentials import BearerAuthentication, OwnAccessToken
from enforcer.tokens.introspection.endpoint import DiscoveredEndpoint, ServerEndpoint
from enforcer.tokens.introspection.introspector import Introspector
from enforcer.tokens.introspection.metadata import EndpointName, Metadata
from enforcer.tokens.issuers import IssuerFilter, IssuerScope
from enforcer.tokens.verifier import TokenSource
from enforcer.wire.ticker import Ticker

if TYPE_CHECKING:
    from enforcer.tokens.jwt.jwks import KeySet

Fetched = dict[str, RefreshSchedule[Any]]
"""Remote documents of an authorization server, by kind: `keys` and `metadata`."""


@dataclass(frozen=True, eq=False)
class SourceBuilder:
    """Builds one source of a server. Endpoints, keys and metadata are built on first use, and once.

    The `fetched` documents are shared with other sources of the same server, so that a reload need not fetch them.
    `observe` lets the caller see what is sent and received.
    """

    server: AuthorizationServer
    fetched: Fetched
    metrics: IntrospectionMetrics
    ticker: Ticker
    loop: asyncio.AbstractEventLoop
    share: int = DEFAULT_SHARE
    held_back: ShareReport = field(default_factory=partial(ShareReport, SharedTable.INTROSPECTION))
    observe: Observe | None = None

    def source(self, domain: IssuerScope) -> TokenSource:
        """Return the source that the server's `verify` setting requires. It owns its connections until it is closed."""
        server = self.server
        introspector = None if server.verify == "jwt" else self._introspector(domain)
        if introspector is not None and server.verify == "introspect":
            return introspector
        # Imported late, because cryptography is large, and introspection does not need it.
        from enforcer.tokens.jwt.client_keys import ClientKeys
        from enforcer.tokens.jwt.jwt_source import JwtSource

        keys = ClientKeys(self._keys, self.ticker, server.keys.waiting, self.share, self.held_back)
        issuer, scopes = authorization_server.issuer(server), ScopeClaims(server.scope_claims)
        return JwtSource(keys, issuer, server.jwt, introspector, time.time, scopes)

    def _introspector(self, domain: IssuerScope) -> TokenSource:
        server, own = self.server, self.server.own_token
        authentication = self._requests.authentication("introspection_endpoint") if own is None else self._bearer(own)
        reader = self._requests.reader(lambda: self._keys)
        introspector = Introspector(self._endpoint("introspection_endpoint"), authentication, reader)
        client = IntrospectionClient(server.name, introspector, server.breaker, server.pool, self.ticker)
        return client if domain == IssuerScope() else IssuerFilter(client, domain)

    @cached_property
    def _requests(self) -> RequestBuilder:
        return RequestBuilder(self.server, self.ticker, self.loop, self.share, self.held_back, self.observe)

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
        request = self._requests.token_request(self._endpoint("token_endpoint"), settings)
        token: RemoteDocument[OwnAccessToken] = RemoteDocument(
            f"our own access token of authorization server {self.server.name}",
            request,
            RefreshSchedule(lambda token: token.lifetime(settings.renew_ahead), settings.pause),
            self.ticker,
            self.metrics.fetches["own_token"],
        )
        return BearerAuthentication(token)

    def _endpoint(self, name: EndpointName) -> ServerEndpoint:
        url = authorization_server.endpoints(self.server)[name]
        make = partial(self._requests.endpoint, name)
        return make(url) if url is not None else DiscoveredEndpoint(name, self._metadata, make)

    @cached_property
    def _metadata(self) -> RemoteDocument[Metadata]:
        server = self.server
        life = Lifetime(server.metadata.refresh, math.inf)
        return RemoteDocument(
            f"the metadata of authorization server {server.name}",
            self._requests.metadata(),
            self.fetched.setdefault("metadata", RefreshSchedule(lambda _: life, server.metadata.pause)),
            self.ticker,
            self.metrics.fetches["metadata"],
        )
