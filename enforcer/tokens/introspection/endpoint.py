"""Where requests to an authorization server go: to the URL that the configuration names, or else its metadata.

1. Nothing is sent anywhere else: a redirect is an answer like any other.
2. What the metadata names holds as long as the last good metadata says so; before the first, nothing is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.introspection.client_authentication import Credentials
from enforcer.tokens.introspection.endpoint_result import EndpointResult
from enforcer.tokens.introspection.metadata import EndpointName, Metadata
from enforcer.tokens.remote_document import RemoteDocument
from enforcer.wire.http_client import HttpClient

_log = logging.getLogger("enforcer.tokens")

Done = Callable[[EndpointResult], None]


class ServerEndpoint(Protocol):
    """One of an authorization server's; `done` gets the outcome exactly once, now or later."""

    def get(self, done: Done) -> None:
        """Ask for what it has to give."""

    def post(self, form: bytes, credentials: Credentials, done: Done) -> None:
        """Send a form, with our credentials."""

    def close(self) -> None:
        """Keep no connection for later; running calls end by themselves."""


class KnownEndpoint:
    """One at a known place: `authority` is its Host, `target` its path and query; `caller` bounds time and size.

    `accept` is the media type that a form is to be answered with.
    """

    def __init__(self, caller: HttpClient, authority: str, target: str, accept: str = "application/json") -> None:
        self._caller = caller
        self._get = f"GET {target} HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json, */*\r\n\r\n".encode()
        self._post = (
            f"POST {target} HTTP/1.1\r\n"
            f"Host: {authority}\r\n"
            f"Accept: {accept}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
        ).encode()

    def get(self, done: Done) -> None:
        """Ask for what it has to give; `done` gets the outcome exactly once, now or later."""
        self._caller.call(self._get, done)

    def post(self, form: bytes, credentials: Credentials, done: Done) -> None:
        """Send a form, with our credentials; `done` gets the outcome exactly once, now or later."""
        body = form + credentials.form
        self._caller.call(b"%b%bContent-Length: %d\r\n\r\n%b" % (self._post, credentials.lines, len(body), body), done)

    def close(self) -> None:
        """Keep no connection for later; running calls end by themselves."""
        self._caller.close()


class DiscoveredEndpoint:
    """The one that the server's metadata calls `name`; `make` makes it of its URL."""

    def __init__(
        self, name: EndpointName, metadata: RemoteDocument[Metadata], make: Callable[[str], KnownEndpoint]
    ) -> None:
        self._name = name
        self._metadata = metadata
        self._make = make
        self._url: str | None = None
        self._endpoint: KnownEndpoint | None = None

    def get(self, done: Done) -> None:
        """Ask for what it has to give; `done` gets the outcome exactly once, now or later."""
        self._find(lambda endpoint: endpoint.get(done), done)

    def post(self, form: bytes, credentials: Credentials, done: Done) -> None:
        """Send a form, with our credentials; `done` gets the outcome exactly once, now or later."""
        self._find(lambda endpoint: endpoint.post(form, credentials, done), done)

    def close(self) -> None:
        """Look for it no more; who still asks is answered as before."""
        self._metadata.close()
        if self._endpoint is not None:
            self._endpoint.close()

    def _find(self, found: Callable[[KnownEndpoint], None], failed: Callable[[IntrospectionError], None]) -> None:
        def told(metadata: Metadata | IntrospectionError) -> None:
            endpoint = metadata if isinstance(metadata, IntrospectionError) else self._at(metadata)
            if isinstance(endpoint, IntrospectionError):
                failed(endpoint)
            else:
                found(endpoint)

        self._metadata.get(told)

    def _at(self, metadata: Metadata) -> KnownEndpoint | IntrospectionError:
        url = metadata.endpoints.get(self._name)
        if url is None:
            return IntrospectionError(IntrospectionFailure.MALFORMED, f"its metadata names no {self._name}")
        if self._endpoint is not None and url == self._url:
            return self._endpoint
        try:
            endpoint = self._make(url)
        except (ValueError, OSError):
            return IntrospectionError(IntrospectionFailure.MALFORMED, f"its {self._name} is no URL that can be called")
        if self._endpoint is not None:
            self._endpoint.close()
        # A query may hold what is nobody's business.
        _log.info("the %s of %s is %s", self._name, metadata.issuer, url.partition("?")[0])
        self._url, self._endpoint = url, endpoint
        return endpoint
