"""The endpoints of an authorization server: at a configured URL, or at the one that the server's metadata names.

1. Requests go nowhere else: a redirect is a response like any other.
2. The URL from the metadata is used as long as the last good metadata names it. Before the first, nothing is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from enforcer.clients import OWN
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.introspection.client_authentication import Credentials
from enforcer.tokens.introspection.endpoint_result import EndpointResult
from enforcer.tokens.introspection.metadata import EndpointName, Metadata
from enforcer.wire.callback import Callback, chain

_log = logging.getLogger("enforcer.tokens")


class ServerEndpoint(Protocol):
    """An endpoint of an authorization server."""

    def get(self, callback: Callback[EndpointResult]) -> EndpointResult | None:
        """Send a GET request."""

    def post(
        self, form: bytes, credentials: Credentials, client: str, callback: Callback[EndpointResult]
    ) -> EndpointResult | None:
        """Send a form with our credentials, on behalf of the client with this key (`clients.client_key`)."""

    def close(self) -> None:
        """Close idle connections; running requests continue."""


class Sender(Protocol):
    """Sends whole requests to one server, and bounds time and size of the responses: `wire.http_client.HttpClient`."""

    def send(self, request: bytes, client: str, callback: Callback[EndpointResult]) -> EndpointResult | None:
        """Send a request on behalf of the client with this key."""

    def close(self) -> None:
        """Close idle connections; running requests continue."""


class KnownEndpoint:
    """An endpoint at a known URL: `authority` is its Host, `target` its path and query.

    `accept` is the media type for responses to forms.
    """

    def __init__(self, sender: Sender, authority: str, target: str, accept: str = "application/json") -> None:
        self._sender = sender
        # Without Accept-Encoding any coding is acceptable (RFC 9110 §12.5.3), and some servers then send one.
        common = f"{target} HTTP/1.1\r\nHost: {authority}\r\nAccept-Encoding: identity\r\n"
        self._get = f"GET {common}Accept: application/json, */*\r\n\r\n".encode()
        self._post = f"POST {common}Accept: {accept}\r\nContent-Type: application/x-www-form-urlencoded\r\n".encode()

    def get(self, callback: Callback[EndpointResult]) -> EndpointResult | None:
        return self._sender.send(self._get, OWN, callback)

    def post(
        self, form: bytes, credentials: Credentials, client: str, callback: Callback[EndpointResult]
    ) -> EndpointResult | None:
        body = form + credentials.form
        head = b"%b%bContent-Length: %d\r\n\r\n" % (self._post, credentials.lines, len(body))
        return self._sender.send(head + body, client, callback)

    def close(self) -> None:
        self._sender.close()


class MetadataSource(Protocol):
    """The server's metadata, kept current: a `RemoteDocument`."""

    def get(self, callback: Callback[Metadata | IntrospectionError]) -> Metadata | IntrospectionError | None:
        """Get the last good metadata, or else fetch it."""

    def close(self) -> None:
        """Stop refreshing."""


class DiscoveredEndpoint:
    """The endpoint called `name` in the server's metadata. `make` makes it from its URL."""

    def __init__(self, name: EndpointName, metadata: MetadataSource, make: Callable[[str], KnownEndpoint]) -> None:
        self._name = name
        self._metadata = metadata
        self._make = make
        self._url: str | None = None
        self._endpoint: KnownEndpoint | None = None

    def get(self, callback: Callback[EndpointResult]) -> EndpointResult | None:
        return chain(self._metadata.get, self._get, callback)

    def post(
        self, form: bytes, credentials: Credentials, client: str, callback: Callback[EndpointResult]
    ) -> EndpointResult | None:
        return chain(self._metadata.get, self._post, callback, form, credentials, client)

    def close(self) -> None:
        """Stop refreshing the metadata and close idle connections; running requests continue."""
        self._metadata.close()
        if self._endpoint is not None:
            self._endpoint.close()

    def _get(
        self, metadata: Metadata | IntrospectionError, callback: Callback[EndpointResult]
    ) -> EndpointResult | None:
        endpoint = self._resolve(metadata)
        return endpoint if isinstance(endpoint, IntrospectionError) else endpoint.get(callback)

    def _post(
        self,
        form: bytes,
        credentials: Credentials,
        client: str,
        metadata: Metadata | IntrospectionError,
        callback: Callback[EndpointResult],
    ) -> EndpointResult | None:
        endpoint = self._resolve(metadata)
        if isinstance(endpoint, IntrospectionError):
            return endpoint
        return endpoint.post(form, credentials, client, callback)

    def _resolve(self, metadata: Metadata | IntrospectionError) -> KnownEndpoint | IntrospectionError:
        if isinstance(metadata, IntrospectionError):
            return metadata
        url = metadata.endpoints.get(self._name)
        if url is None:
            return IntrospectionError(IntrospectionFailure.MALFORMED, f"its metadata names no {self._name}")
        if self._endpoint is not None and url == self._url:
            return self._endpoint
        try:
            endpoint = self._make(url)
        except (ValueError, OSError):
            return IntrospectionError(
                IntrospectionFailure.MALFORMED, f"its {self._name} is not a URL that can be called"
            )
        if self._endpoint is not None:
            self._endpoint.close()
        # Without the query, which may contain a secret
        _log.info("the %s of %s is %s", self._name, metadata.issuer, url.partition("?")[0])
        self._url, self._endpoint = url, endpoint
        return endpoint
