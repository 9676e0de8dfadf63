"""The client credentials grant: an access token of our own for introspection requests (RFC 7662 §2.1, RFC 6749 §4.4).

1. The token is fetched at the start, and replaced before it expires. Requests wait for the first fetch.
2. If the server rejects a token, another is fetched, but not within a pause of the last fetch. The rejected one stays
   in use until then: the server may have meant the token that was to be introspected, which any client can make up.
3. The token is sent only to the introspection endpoint of the server that issued it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import quote_plus

from enforcer.clients import OWN
from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.bearer import is_b64token
from enforcer.tokens.documents.refresh_schedule import Lifetime
from enforcer.tokens.documents.remote_document import RemoteDocument
from enforcer.tokens.documents.strict_json import read_document
from enforcer.tokens.introspection.client_authentication import Authentication, Credentials
from enforcer.tokens.introspection.endpoint import ServerEndpoint
from enforcer.tokens.introspection.endpoint_result import EndpointResult, authenticated_body, read_body
from enforcer.wire.callback import Callback, Operation, chain, convert

MAX_LIFETIME: Final = 24 * 3600.0
"""Longest use of a token in seconds, even if it expires later, so that a change of our rights takes effect."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnAccessToken:
    """An access token of our own: the credentials for requests, and its lifetime in seconds."""

    credentials: Credentials
    expires_in: float

    def lifetime(self, renew_ahead: float) -> Lifetime:
        """Return the lifetime if it is replaced so many seconds before it expires, or halfway if it is short."""
        return Lifetime(self.expires_in - min(renew_ahead, self.expires_in / 2), self.expires_in)


class TokenRequest:
    """Requests access tokens from a token endpoint (RFC 6749 §4.4.2).

    `lifetime` is in seconds, for a response without `expires_in`.
    """

    def __init__(
        self, endpoint: ServerEndpoint, authentication: Authentication, scopes: Sequence[str], lifetime: float
    ) -> None:
        self._endpoint = endpoint
        self._authentication = authentication
        scope = f"&scope={quote_plus(' '.join(scopes))}" if scopes else ""
        self._form = f"grant_type=client_credentials{scope}".encode()
        self._lifetime = lifetime

    def fetch(
        self, callback: Callback[OwnAccessToken | IntrospectionError]
    ) -> OwnAccessToken | IntrospectionError | None:
        """Request a token."""
        return chain(self._authentication.authenticate, self._post, callback)

    def close(self) -> None:
        """Close idle connections; a running request continues."""
        self._endpoint.close()

    def _post(
        self, credentials: Credentials | IntrospectionError, callback: Callback[OwnAccessToken | IntrospectionError]
    ) -> OwnAccessToken | IntrospectionError | None:
        if isinstance(credentials, IntrospectionError):
            return credentials
        post: Operation[EndpointResult] = partial(self._endpoint.post, self._form, credentials, OWN)
        return convert(post, self._read, callback)

    def _read(self, response: EndpointResult) -> OwnAccessToken | IntrospectionError:
        return read_body(authenticated_body(response), partial(parse, lifetime=self._lifetime))


class BearerAuthentication:
    """An `Authentication` by an access token of our own (RFC 6750 §2.1)."""

    def __init__(self, token: RemoteDocument[OwnAccessToken]) -> None:
        self._token = token

    def authenticate(
        self, callback: Callback[Credentials | IntrospectionError]
    ) -> Credentials | IntrospectionError | None:
        return convert(self._token.get, _credentials, callback)

    @property
    def renewable(self) -> bool:
        """True: the token may have been revoked."""
        return True

    def renew(
        self, rejected: Credentials, callback: Callback[Credentials | IntrospectionError]
    ) -> Credentials | IntrospectionError | None:
        """Get the credentials of a newer token, or the rejected ones if there is none."""
        token = self._token.current
        # Of many requests that were sent with the token, only the first rejected one fetches another.
        if token is not None and token.credentials is not rejected:
            return token.credentials
        return convert(self._token.refresh, _credentials, callback)

    def close(self) -> None:
        """Stop refreshing the token."""
        self._token.close()


def _credentials(token: OwnAccessToken | IntrospectionError) -> Credentials | IntrospectionError:
    return token.credentials if isinstance(token, OwnAccessToken) else token


def parse(data: bytes, lifetime: float) -> OwnAccessToken:
    """Read a token response (RFC 6749 §5.1); raises IntrospectionError (malformed), whose text contains none of it.

    `lifetime` is in seconds, for a response without `expires_in`.
    """
    members = read_document(data, "its token response")
    token, kind = members.get("access_token"), members.get("token_type")
    if not isinstance(token, str) or not is_b64token(token.encode("utf-8", "surrogatepass")):
        raise _malformed("access_token is not one that a request can contain")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _malformed("token_type is not Bearer")
    credentials = Credentials(lines=f"Authorization: Bearer {token}\r\n".encode())
    return OwnAccessToken(credentials, float(min(_seconds(members.get("expires_in"), lifetime), MAX_LIFETIME)))


def _seconds(value: object, absent: float) -> float:
    if value is None:
        return absent
    # A number by RFC 6749 §5.1; some servers write a string of digits.
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 15:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return value
    raise _malformed("expires_in is not a lifetime")


def _malformed(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its token response: {detail}")
