"""Takes the token out of a request, from the places that its rule reads. Pure, and prepared at load.

1. A request has at most one token: a second one, in a place that is read, makes it unreadable.
2. A token is taken out whether it is valid or not, so that the app gets no token of anybody's. A field that an app may
   take for the one with the token (`X_Token` for `X-Token`) is removed, and never read.
3. Everything else stays byte by byte: other cookies, other subprotocols, other parameters.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from enforcer.settings.token_places import TokenPlaces
from enforcer.tokens import bearer
from enforcer.tokens.bearer import DPoPToken, NoToken, is_b64token
from enforcer.wire.fields import FOLD, OWS

_ENCODED_PREFIX: Final = b"base64url."
_SUBPROTOCOL: Final = b"sec-websocket-protocol"
_COOKIE: Final = b"cookie"
_AUTHORIZATION: Final = b"authorization"


class TakenToken(NamedTuple):
    """The token of a request, and the request without it.

    `place` is the setting that names the place, empty if there is no token. `lines` are the field lines in pieces,
    `target` is the request target. `secrets` are all values that were in the places, as sent and decoded.
    `subprotocol` is what a response without a subprotocol names instead; empty if the client offered none of ours.
    """

    token: bytes | NoToken | DPoPToken
    place: str
    lines: list[bytes]
    target: bytes
    secrets: tuple[bytes, ...]
    subprotocol: bytes


class Places:
    """The places of a token under some rules.

    `restores_authorization`: the field lines that are given have no Authorization, though it is the app's own.
    """

    __slots__ = (
        "_basic", "_bearer", "_cookie", "_decodes", "_header", "_marker", "_names", "_prefix", "_query", "_restores",
        "_subprotocol", "checks_origin",
    )  # fmt: skip

    def __init__(self, settings: TokenPlaces, *, restores_authorization: bool) -> None:
        self._bearer: Final = settings.bearer
        self._basic: Final = settings.basic
        self._restores: Final = restores_authorization and not settings.bearer and not settings.basic
        self._header: Final = (settings.header or "").lower().encode()
        self._prefix: Final = settings.prefix.lower().encode()
        self._cookie: Final = (settings.cookie or "").encode()
        self._subprotocol: Final = (settings.subprotocol or "").encode()
        named = {self._header: bool(self._header), _SUBPROTOCOL: bool(self._subprotocol)}
        self._names: Final = frozenset([name for name, is_read in named.items() if is_read])
        self._marker: Final = self._subprotocol.rstrip(b".-_")
        self._decodes: Final = self._subprotocol.startswith(_ENCODED_PREFIX)
        self._query: Final = (settings.query or "").encode()
        self.checks_origin: Final = settings.cross_site == "refuse"
        """Whether a token in the cookie is accepted only if no page of another site sent the request."""

    def take(self, authorization: bytes | None, count: int, lines: list[bytes], target: bytes) -> TakenToken:
        """Take the token out of a request.

        `authorization` is the field's value, `count` the number of such fields; `lines` are the field lines in pieces,
        `target` is the request target in origin form.
        """
        search = _Search()
        without_authorization = False
        if count and (self._bearer or self._basic):
            without_authorization = self._read_authorization(search, authorization or b"", count)
        remaining: list[bytes] = []
        for index in range(0, len(lines), 4):
            name = lines[index].lower()
            value: bytes | None = lines[index + 2]
            if name == self._header and self._header:
                value = self._without_field(search, lines[index + 2])
            elif name == _COOKIE and self._cookie:
                value = self._without_cookie(search, lines[index + 2])
            elif name == _SUBPROTOCOL and self._subprotocol:
                value = self._without_subprotocol(search, lines[index + 2])
            elif name == _AUTHORIZATION and without_authorization:
                value = None
            elif self._names and name.translate(FOLD) in self._names:
                search.secrets.append(lines[index + 2].strip(OWS))
                value = None
            if value is not None:
                remaining += (lines[index], b": ", value, b"\r\n")
        if self._restores and count == 1 and authorization is not None:
            remaining += (b"Authorization", b": ", authorization, b"\r\n")
        if self._query:
            target = self._without_parameter(search, target)
        token: bytes | NoToken | DPoPToken = NoToken.MISSING
        if search.tokens:
            token = search.tokens[0] if len(search.tokens) == 1 else NoToken.INVALID_REQUEST
        return TakenToken(token, search.place, remaining, target, tuple(search.secrets), search.marker)

    def _read_authorization(self, search: _Search, authorization: bytes, count: int) -> bool:
        """Read the Authorization field; return whether it must not be forwarded."""
        if count > 1:
            search.add("bearer" if self._bearer else "basic", NoToken.INVALID_REQUEST)
            return self._basic
        scheme, _, credentials = authorization.strip(OWS).partition(b" ")
        if scheme.lower() == b"basic" and self._basic:
            password = _password(credentials.strip(b" "))
            if password is not None:
                search.secrets.append(password)
            if password != b"":
                search.add("basic", NoToken.INVALID_REQUEST if password is None else _checked(password))
            return True
        if self._bearer:
            token = bearer.parse(authorization, count)
            if token is not NoToken.MISSING:
                search.add("bearer", token)
        return False

    def _without_field(self, search: _Search, value: bytes) -> bytes | None:
        value = value.strip(OWS)
        if self._prefix and value[: len(self._prefix)].lower() != self._prefix:
            return value
        search.take("header", value[len(self._prefix) :].strip(OWS))
        return None

    def _without_cookie(self, search: _Search, value: bytes) -> bytes | None:
        """RFC 6265 §5.4: pairs are separated by `;`, and a name ends at the first `=`."""
        pairs = value.split(b";")
        others = [pair for pair in pairs if pair.partition(b"=")[0].strip(OWS) != self._cookie]
        if len(others) == len(pairs):
            return value
        for pair in pairs:
            name, _, token = pair.partition(b"=")
            if name.strip(OWS) == self._cookie:
                search.take("cookie", token.strip(OWS))
        return b";".join(others).strip(OWS) or None

    def _without_subprotocol(self, search: _Search, value: bytes) -> bytes | None:
        offered = [element.strip(OWS) for element in value.split(b",")]
        others: list[bytes] = []
        for element in offered:
            if element == self._marker:
                search.marker = element
            elif not element.startswith(self._subprotocol):
                others.append(element)
            else:
                encoded = element[len(self._subprotocol) :]
                token = _decoded(encoded) if self._decodes else encoded
                search.secrets.append(encoded)
                if token is None:
                    search.add("subprotocol", NoToken.INVALID_REQUEST)
                else:
                    search.take("subprotocol", token)
        return value if len(others) == len(offered) else b", ".join(others) or None

    def _without_parameter(self, search: _Search, target: bytes) -> bytes:
        path, _, query = target.partition(b"?")
        pairs = query.split(b"&")
        others: list[bytes] = []
        for pair in pairs:
            name, _, value = pair.partition(b"=")
            if unquote_to_bytes(name) != self._query:
                others.append(pair)
            else:
                search.secrets.append(value)
                search.take("query", unquote_to_bytes(value))
        if len(others) == len(pairs):
            return target
        return b"%b?%b" % (path, b"&".join(others)) if others else path


class _Search:
    """The tokens that were found in a request, and where."""

    __slots__ = ("marker", "place", "secrets", "tokens")

    def __init__(self) -> None:
        self.tokens: list[bytes | NoToken | DPoPToken] = []
        self.place = ""
        self.secrets: list[bytes] = []
        self.marker = b""

    def take(self, place: str, value: bytes) -> None:
        """Note the value that was in a place; an empty one, as of a cookie that was deleted, does not count."""
        if value:
            self.secrets.append(value)
            self.add(place, _checked(value))

    def add(self, place: str, token: bytes | NoToken | DPoPToken) -> None:
        """Note a token, or why the place has none that can be verified."""
        self.place = place
        self.tokens.append(token)


def _checked(token: bytes) -> bytes | NoToken:
    return token if is_b64token(token) else NoToken.MALFORMED


def _password(credentials: bytes) -> bytes | None:
    """Return the password of Basic credentials (RFC 7617 §2); None if they do not parse."""
    try:
        user_and_password = base64.b64decode(credentials, validate=True)
    except binascii.Error:
        return None
    _, colon, password = user_and_password.partition(b":")
    return password if colon else None


def _decoded(text: bytes) -> bytes | None:
    """Decode base64url without padding (RFC 4648 §5); None if it is not that."""
    try:
        decoded = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return decoded if b"=" not in text and base64.urlsafe_b64encode(decoded).rstrip(b"=") == text else None
