"""One introspection request (RFC 7662 §2.1): the token with our credentials, and what the response says of the token.

1. A response about our own credentials is an error, and never a statement about the token. An error about the token is
   a statement that it is not active.
2. If the server rejects credentials that can be renewed, the request is sent again, with others, and not a third time.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple, Protocol

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.claims import SCOPE_CLAIMS, ScopeClaims
from enforcer.tokens.introspection.breaker import Contact
from enforcer.tokens.introspection.client_authentication import Authentication, Credentials
from enforcer.tokens.introspection.endpoint import ServerEndpoint
from enforcer.tokens.introspection.endpoint_result import (
    EndpointResult,
    authenticated_body,
    contact,
    is_about_token,
    read_body,
)
from enforcer.tokens.introspection.response import INACTIVE, IntrospectionOutcome, parse
from enforcer.wire.callback import Callback, Operation, chain, convert
from enforcer.wire.http_client import HttpResponse

JSON_TYPE: Final = "application/json"
JWT_TYPE: Final = "application/token-introspection+jwt"
"""The media types of introspection responses (RFC 7662 §2.2, RFC 9701 §4)."""


class ResponseReader(Protocol):
    """Reads the body of an introspection response."""

    def read(self, body: bytes, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        """Read a body of status 200."""

    def close(self) -> None:
        """Stop background work."""


class JsonReader:
    """A `ResponseReader` for JSON (RFC 7662 §2.2); `scopes` are the claims that may hold a token's scopes."""

    def __init__(self, scopes: ScopeClaims = SCOPE_CLAIMS) -> None:
        self._parse = partial(parse, scopes=scopes)

    def read(self, body: bytes, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        """Read a body; the outcome is always known at once."""
        return read_body(body, self._parse)

    def close(self) -> None:
        """Do nothing: there is no background work."""


class IntrospectionResult(NamedTuple):
    """The outcome of a request, and what it shows of the server."""

    contact: Contact
    outcome: IntrospectionOutcome


class Introspector:
    """Sends introspection requests to one endpoint."""

    def __init__(self, endpoint: ServerEndpoint, authentication: Authentication, reader: ResponseReader) -> None:
        self._endpoint = endpoint
        self._authentication = authentication
        self._reader = reader

    def send(self, token: bytes, client: str, callback: Callback[IntrospectionResult]) -> IntrospectionResult | None:
        """Send a request for a token, which is a b64token, on behalf of the client with this key."""
        return self._request(_form(token), client, None, callback)

    def close(self) -> None:
        """Stop background work; running requests continue."""
        self._endpoint.close()
        self._authentication.close()
        self._reader.close()

    # `rejected` are the credentials that the server rejected before.

    def _request(
        self, form: bytes, client: str, rejected: Credentials | None, callback: Callback[IntrospectionResult]
    ) -> IntrospectionResult | None:
        if rejected is None:
            return chain(self._authentication.authenticate, self._post, callback, form, client, rejected)
        renew: Operation[Credentials | IntrospectionError] = partial(self._authentication.renew, rejected)
        return chain(renew, self._post, callback, form, client, rejected)

    def _post(
        self,
        form: bytes,
        client: str,
        rejected: Credentials | None,
        credentials: Credentials | IntrospectionError,
        callback: Callback[IntrospectionResult],
    ) -> IntrospectionResult | None:
        if isinstance(credentials, IntrospectionError):
            return IntrospectionResult(Contact.NOT_SENT, credentials)
        if credentials is rejected:
            # There are no others. The server may have meant the token, which it does not know.
            return IntrospectionResult(Contact.RESPONSE, _REJECTED)
        post: Operation[EndpointResult] = partial(self._endpoint.post, form, credentials, client)
        return chain(post, self._on_response, callback, form, client, rejected, credentials)

    def _on_response(
        self,
        form: bytes,
        client: str,
        rejected: Credentials | None,
        credentials: Credentials,
        response: EndpointResult,
        callback: Callback[IntrospectionResult],
    ) -> IntrospectionResult | None:
        # RFC 6750 §3.1: 401 is about the credentials themselves, 403 about what they allow
        if isinstance(response, HttpResponse) and response.status == 401 and self._authentication.renewable:
            if rejected is None:
                return self._request(form, client, credentials, callback)
            return IntrospectionResult(Contact.RESPONSE, _REJECTED)
        read: Operation[IntrospectionOutcome] = partial(self._read, response)
        return convert(read, IntrospectionResult, callback, contact(response))

    def _read(self, response: EndpointResult, callback: Callback[IntrospectionOutcome]) -> IntrospectionOutcome | None:
        if is_about_token(response):
            return INACTIVE
        # RFC 7662 §2.3: a refusal is about our own credentials, never about the token
        body = authenticated_body(response)
        return body if isinstance(body, IntrospectionError) else self._reader.read(body, callback)


def _form(token: bytes) -> bytes:
    # RFC 6750 §2.1: a b64token has three characters that must be encoded in a form
    value = token.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
    return b"token=%b&token_type_hint=access_token" % value


_REJECTED: Final = IntrospectionError(IntrospectionFailure.REFUSED, "it answered 401 to our credentials")
