"""An access token of our own, with which the enforcer asks what others are worth (RFC 7662 §2.1, RFC 6749 §4.4).

1. It is fetched at the start and renewed before it ends; whoever needs one that is not there yet waits for the fetch.
2. One that the server does not accept is used no more; another is fetched, but not within a pause of the last time.
3. It goes to the introspection endpoint of the server that gave it, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

from enforcer.errors import IntrospectionError, IntrospectionFailure
from enforcer.tokens.bearer import is_b64token
from enforcer.tokens.introspection.client_authentication import Authentication, Credentials
from enforcer.tokens.introspection.endpoint import ServerEndpoint
from enforcer.tokens.introspection.endpoint_result import EndpointResult, credentials_refusal, response_body
from enforcer.tokens.refresh_schedule import Lifetime
from enforcer.tokens.remote_document import RemoteDocument
from enforcer.tokens.strict_json import read_object

LONGEST: Final = 24 * 3600.0
"""Seconds that one is used at most, however long the server lets it live: what it changed of our rights then shows."""

_NOT_ACCEPTED: Final = IntrospectionError(
    IntrospectionFailure.REFUSED, "it does not accept the access token that it gave us"
)


@dataclass(frozen=True, slots=True, eq=False)
class OwnAccessToken:
    """One, as the server gave it: what a request carries, and its life in seconds."""

    credentials: Credentials
    expires_in: float

    def life(self, renew_ahead: float) -> Lifetime:
        """Tell how long it serves, if it is renewed so many seconds before its end, or at half of a short life."""
        return Lifetime(self.expires_in - min(renew_ahead, self.expires_in / 2), self.expires_in)


class TokenRequest:
    """Fetches one from a token endpoint (RFC 6749 §4.4.2).

    `lifetime` is the life, in seconds, of one whose life the server does not tell.
    """

    def __init__(
        self, endpoint: ServerEndpoint, authentication: Authentication, scopes: Sequence[str], lifetime: float
    ) -> None:
        self._endpoint = endpoint
        self._authentication = authentication
        scope = f"&scope={quote_plus(' '.join(scopes))}" if scopes else ""
        self._form = f"grant_type=client_credentials{scope}".encode()
        self._lifetime = lifetime

    def fetch(self, done: Callable[[OwnAccessToken | IntrospectionError], None]) -> None:
        """Fetch it; `done` gets it, or the error, exactly once, now or later."""

        def authenticated(credentials: Credentials | IntrospectionError) -> None:
            if isinstance(credentials, IntrospectionError):
                done(credentials)
            else:
                self._endpoint.post(self._form, credentials, lambda outcome: done(self._read(outcome)))

        self._authentication.authenticate(authenticated)

    def close(self) -> None:
        """Keep no connection for later; a running fetch ends by itself."""
        self._endpoint.close()

    def _read(self, outcome: EndpointResult) -> OwnAccessToken | IntrospectionError:
        found = credentials_refusal(outcome) or response_body(outcome)
        try:
            return found if isinstance(found, IntrospectionError) else parse(found, self._lifetime)
        except IntrospectionError as error:
            return error.as_value()


class BearerAuthentication:
    """An `Authentication` by an access token of our own (RFC 6750 §2.1)."""

    def __init__(self, token: RemoteDocument[OwnAccessToken]) -> None:
        self._token = token

    def authenticate(self, done: Callable[[Credentials | IntrospectionError], None]) -> None:
        """Get what the next request carries; `done` gets it, or why there is none, exactly once, now or later."""
        self._token.get(lambda found: done(found if isinstance(found, IntrospectionError) else found.credentials))

    def rejected(self, credentials: Credentials) -> bool:
        """Use the token no more; another may be had."""
        good = self._token.good
        # Of the many that were asked with it, only the first to come back has it thrown away.
        if good is not None and good.credentials is credentials:
            self._token.discard(_NOT_ACCEPTED)
        return True

    def close(self) -> None:
        """Fetch no more of itself."""
        self._token.close()


def parse(data: bytes, lifetime: float) -> OwnAccessToken:
    """Read a token answer (RFC 6749 §5.1); raises IntrospectionError (malformed), whose text shows nothing of it.

    `lifetime` is the life, in seconds, of a token whose life it does not tell.
    """
    try:
        members = read_object(data)
    except ValueError as error:
        raise _malformed(str(error)) from None
    token, kind = members.get("access_token"), members.get("token_type")
    if not isinstance(token, str) or not is_b64token(token.encode("utf-8", "surrogatepass")):
        raise _malformed("access_token is none that a request can carry")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _malformed("token_type is not Bearer")
    credentials = Credentials(lines=f"Authorization: Bearer {token}\r\n".encode())
    return OwnAccessToken(credentials, float(min(_seconds(members.get("expires_in"), lifetime), LONGEST)))


def _seconds(value: object, absent: float) -> float:
    if value is None:
        return absent
    # RFC 6749 §5.1 has a number; some servers write a string of digits.
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 15:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return value
    raise _malformed("expires_in is no time to live")


def _malformed(detail: str) -> IntrospectionError:
    return IntrospectionError(IntrospectionFailure.MALFORMED, f"its token answer: {detail}")
