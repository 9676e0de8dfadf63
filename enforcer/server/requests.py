"""Builds what sends requests to an authorization server from its settings: for serving, and for `enforcer doctor`."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

from enforcer.config import authorization_server
from enforcer.settings.authorization_server import AuthorizationServer, OwnTokenSettings
from enforcer.settings.connections.addresses import Location, parse_url
from enforcer.settings.connections.http2 import UpstreamProtocol
from enforcer.settings.connections.tls import ClientTLS
from enforcer.settings.limits import DEFAULT_SHARE
from enforcer.share_report import SharedTable, ShareReport
from enforcer.tokens.claims import ScopeClaims
from enforcer.tokens.documents.remote_document import DocumentFetcher, FirstAvailable
from enforcer.tokens.introspection.client_authentication import ImmediateAuthentication
from enforcer.tokens.introspection.client_credentials import TokenRequest
from enforcer.tokens.introspection.endpoint import KnownEndpoint, Sender, ServerEndpoint
from enforcer.tokens.introspection.introspector import JSON_TYPE, JWT_TYPE, JsonReader, ResponseReader
from enforcer.tokens.introspection.metadata import EndpointName, Metadata, parse, well_known_urls
from enforcer.wire.dialing.connector import ALPN, ServerAddress
from enforcer.wire.http_client import HttpClient
from enforcer.wire.pool import Pool
from enforcer.wire.ticker import Ticker

if TYPE_CHECKING:
    from enforcer.tokens.jwt.jwks import KeySource

Observe = Callable[[EndpointName | None, str, HttpClient], Sender]
"""Returns the sender to use for the requests to an endpoint, None for metadata, at its URL, given their client."""


@dataclass(frozen=True, eq=False)
class RequestBuilder:
    """Builds the requests to one server. Each endpoint has connections of its own, which it closes with itself.

    `observe` lets the caller see what is sent and received.
    """

    server: AuthorizationServer
    ticker: Ticker
    loop: asyncio.AbstractEventLoop
    share: int = DEFAULT_SHARE
    held_back: ShareReport = field(default_factory=partial(ShareReport, SharedTable.INTROSPECTION))
    observe: Observe | None = None

    def endpoint(self, name: EndpointName, url: str) -> KnownEndpoint:
        """Return an endpoint at its URL."""
        signed = name == "introspection_endpoint" and self.server.signed_answers
        return self._endpoint(name, url, JWT_TYPE if signed else JSON_TYPE)

    def authentication(self, name: EndpointName) -> ImmediateAuthentication:
        """Return the authentication of the enforcer at an endpoint, without an access token of its own."""
        return authorization_server.authenticator(self.server, name, time.time)

    def metadata(self) -> FirstAvailable[Metadata]:
        """Return the source of the server's metadata."""
        issuer = authorization_server.issuer(self.server)
        read = partial(parse, issuer=issuer, mutual_tls=self.server.mutual_tls)
        return FirstAvailable([DocumentFetcher(self._endpoint(None, url), read) for url in well_known_urls(issuer)])

    def token_request(self, endpoint: ServerEndpoint, settings: OwnTokenSettings) -> TokenRequest:
        """Return the request for an access token of our own."""
        return TokenRequest(endpoint, self.authentication("token_endpoint"), settings.scopes, settings.lifetime)

    def reader(self, keys: Callable[[], KeySource]) -> ResponseReader:
        """Return the reader of introspection responses; `keys` returns the server's keys, if they are signed."""
        server = self.server
        if not server.signed_answers:
            return JsonReader(ScopeClaims(server.scope_claims))
        from enforcer.tokens.introspection.jwt_introspection import JwtReader

        return JwtReader(keys(), authorization_server.expected_response(server), time.time)

    def _endpoint(self, name: EndpointName | None, url: str, accept: str = JSON_TYPE) -> KnownEndpoint:
        server = self.server
        location = parse_url(url)
        address = make_endpoint(location, server.tls, self._tls if location.secure else None)
        pool = Pool(address, server.pool, self.ticker, self.loop, self.share, self.held_back)
        client = HttpClient(pool, timeout=server.timeout, max_body=server.max_answer)
        sender: Sender = client if self.observe is None else self.observe(name, url, client)
        return KnownEndpoint(sender, location.authority, location.target, accept)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Built once for all endpoints, because it loads the system's authorities, some 150.
        return (self.server.tls or ClientTLS()).context


def make_endpoint(
    location: Location,
    tls: ClientTLS | None,
    context: ssl.SSLContext | None = None,
    protocol: UpstreamProtocol = "http1",
) -> ServerAddress:
    """Return the endpoint of a pool: address, TLS verification, protocol. `context`: that of `tls`, if it exists."""
    host, port = location.host, location.port
    if not location.secure:
        plain: UpstreamProtocol = "http1" if protocol == "auto" else protocol
        return ServerAddress(host=host, port=port, unix=location.unix, protocol=plain)
    tls = tls or ClientTLS()
    context = context or tls.context
    if protocol in ALPN:
        context.set_alpn_protocols(ALPN[protocol])
    return ServerAddress(host=host, port=port, tls=context, server_name=tls.server_name or host, protocol=protocol)
