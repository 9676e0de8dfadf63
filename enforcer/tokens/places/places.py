"""Takes the token out of a request, from the places that its rule reads. Pure, and prepared at load.

1. A request has at most one token: a second one, in a place that is read, makes it unreadable.
2. A token is taken out whether it is valid or not, so that the app gets no token of anybody's. A field that an app may
   take for the one with the token (`X_Token` for `X-Token`) is removed, and never read.
3. Everything else stays byte by byte: other cookies, other subprotocols, other parameters.
4. The work does not depend on the number of cookies, subprotocols and parameters, which a client chooses: they are
   searched by regular expressions, whose time is linear.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
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
_MAX_VALUES: Final = 4
"""Maximum number of values that are read. A request with two tokens is refused, whatever they are. Bounds work."""


class TakenToken(NamedTuple):
    """The token of a request, and the request without it.

    `place` is the setting that names the place, empty if there is no token. `lines` are the field lines in pieces,
    `target` is the request target. `secrets` are all values that were in the places, as sent and decoded; None if they
    were too many to read, so that nothing can be compared with them. `subprotocol` is what a response without a
    subprotocol names instead; empty if the client offered none of ours.
    """

    token: bytes | NoToken | DPoPToken
    place: str
    lines: list[bytes]
    target: bytes
    secrets: tuple[bytes, ...] | None
    subprotocol: bytes


class Places:
    """The places of a token under some rules.

    `restores_authorization`: the field lines that are given have no Authorization, though it is the app's own.
    """

    __slots__ = (
        "_basic", "_bearer", "_cookie", "_cookies", "_decodes", "_header", "_marker", "_parameters", "_prefix",
        "_query", "_subprotocol", "_subprotocols", "checks_origin", "names", "restores", "settings",
    )  # fmt: skip

    def __init__(self, settings: TokenPlaces, *, restores_authorization: bool) -> None:
        self.settings: Final = settings
        self._bearer: Final = settings.bearer
        self._basic: Final = settings.basic
        self.restores: Final = restores_authorization and not settings.bearer and not settings.basic
        """Whether Authorization, which is the app's own, is added to the field lines."""
        self._header: Final = (settings.header or "").lower().encode()
        self._prefix: Final = settings.prefix.lower().encode()
        self._cookie: Final = (settings.cookie or "").encode()
        self._subprotocol: Final = (settings.subprotocol or "").encode()
        named = {self._header: bool(self._header), _SUBPROTOCOL: bool(self._subprotocol)}
        self.names: Final = frozenset([name for name, is_read in named.items() if is_read])
        """The fields that are read besides Authorization and Cookie, in lower case."""
        self._cookies: Final = re.compile(rb";[ \t]*%b[ \t]*(?:=([^;]*))?(?=;|\Z)" % re.escape(self._cookie))
        self._marker: Final = self._subprotocol.rstrip(b".-_")
        self._subprotocols: Final = _subprotocols(self._marker, self._subprotocol)
        self._decodes: Final = self._subprotocol.startswith(_ENCODED_PREFIX)
        self._query: Final = (settings.query or "").encode()
        self._parameters: Final = re.compile(rb"&%b(?:=([^&]*))?(?=&|\Z)" % _maybe_encoded(self._query))
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
            elif self.names and name.translate(FOLD) in self.names:
                if search.may_read("header", 1):
                    search.secrets.append(lines[index + 2].strip(OWS))
                value = None
            if value is not None:
                remaining += (lines[index], b": ", value, b"\r\n")
        if self.restores and count == 1 and authorization is not None:
            remaining += (b"Authorization", b": ", authorization, b"\r\n")
        if self._query:
            target = self._without_parameter(search, target)
        token: bytes | NoToken | DPoPToken = NoToken.MISSING
        if search.tokens:
            token = search.tokens[0] if len(search.tokens) == 1 else NoToken.INVALID_REQUEST
        secrets = None if search.values > _MAX_VALUES else tuple(search.secrets)
        return TakenToken(token, search.place, remaining, target, secrets, search.marker)

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
        if search.may_read("header", 1):
            search.take("header", value[len(self._prefix) :].strip(OWS))
        return None

    def _without_cookie(self, search: _Search, value: bytes) -> bytes | None:
        """RFC 6265 §5.4: pairs are separated by `;`, and a name ends at the first `=`."""
        if value.find(self._cookie) < 0:
            return value
        pairs = b";" + value
        others, count = self._cookies.subn(b"", pairs)
        if not count:
            return value
        if search.may_read("cookie", count):
            for match in self._cookies.finditer(pairs):
                search.take("cookie", (match[1] or b"").strip(OWS))
        return others[1:].strip(OWS) or None

    def _without_subprotocol(self, search: _Search, value: bytes) -> bytes | None:
        if value.find(self._marker) < 0:
            return value
        offered = b"," + value
        others, count = self._subprotocols.subn(b"", offered)
        if not count:
            return value
        if search.may_read("subprotocol", count):
            for match in self._subprotocols.finditer(offered):
                if match[2] is None:
                    search.marker = match[1]
                else:
                    self._read_subprotocol(search, match[2].strip(OWS))
        return others[1:].strip(OWS) or None

    def _read_subprotocol(self, search: _Search, encoded: bytes) -> None:
        token = _decoded(encoded) if self._decodes else encoded
        search.secrets.append(encoded)
        if token is None:
            search.add("subprotocol", NoToken.INVALID_REQUEST)
        else:
            search.take("subprotocol", token)

    def _without_parameter(self, search: _Search, target: bytes) -> bytes:
        path, _, query = target.partition(b"?")
        pairs = b"&" + query
        others, count = self._parameters.subn(b"", pairs)
        if not count:
            return target
        if search.may_read("query", count):
            for match in self._parameters.finditer(pairs):
                value = match[1] or b""
                if value:
                    search.secrets.append(value)
                search.take("query", unquote_to_bytes(value))
        return b"%b?%b" % (path, others[1:]) if others else path


def _subprotocols(marker: bytes, prefix: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a subprotocol: the one without a token is its first group, and a token is the second."""
    alone = rb"(%b)[ \t]*(?=,|\Z)|" % re.escape(marker) if marker else b"(?!)()|"
    return re.compile(rb",[ \t]*(?:%b%b([^,]*))" % (alone, re.escape(prefix)))


def _maybe_encoded(name: bytes) -> bytes:
    """Return the pattern of a name of which any byte may be percent-encoded."""
    return b"".join([b"(?:%b|%%(?i:%02x))" % (re.escape(b"%c" % byte), byte) for byte in name])


class CombinedPlaces(Places):
    """The places of several rules, all of whose tokens are taken out. Only for requests whose token is not read."""

    __slots__ = ("_parts", "_restores_all")

    def __init__(self, parts: Sequence[Places], *, restores_authorization: bool) -> None:
        super().__init__(parts[0].settings, restores_authorization=False)
        self._parts: Final = tuple([Places(part.settings, restores_authorization=False) for part in parts])
        self._restores_all: Final = restores_authorization

    def take(self, authorization: bytes | None, count: int, lines: list[bytes], target: bytes) -> TakenToken:
        secrets: tuple[bytes, ...] | None = ()
        place, subprotocol = "", b""
        for part in self._parts:
            taken = part.take(authorization, count, lines, target)
            lines, target, place = taken.lines, taken.target, place or taken.place
            secrets = None if secrets is None or taken.secrets is None else secrets + taken.secrets
            subprotocol = subprotocol or taken.subprotocol
        if self._restores_all and count == 1 and authorization is not None:
            lines = [*lines, b"Authorization", b": ", authorization, b"\r\n"]
        return TakenToken(NoToken.MISSING, place, lines, target, secrets, subprotocol)


def combine(places: Sequence[Places | None]) -> Places | None:
    """Return the places of several rules as one; None stands for the default of a rule, the Authorization field."""
    parts: dict[TokenPlaces, Places] = {part.settings: part for part in places if part is not None}
    if not parts:
        return None
    # If one rule reads Authorization, or did not let it pass, the field may have a token, and is not the app's.
    restores = None not in places and all(part.restores for part in parts.values())
    return CombinedPlaces([*parts.values()], restores_authorization=restores)


class _Search:
    """The tokens that were found in a request, and where."""

    __slots__ = ("marker", "place", "secrets", "tokens", "values")

    def __init__(self) -> None:
        self.tokens: list[bytes | NoToken | DPoPToken] = []
        self.place = ""
        self.secrets: list[bytes] = []
        self.values = 0
        self.marker = b""

    def may_read(self, place: str, count: int) -> bool:
        """Count so many values of a place; return whether they are few enough to read. If not, there is no token."""
        self.values += count
        if self.values <= _MAX_VALUES:
            return True
        self.add(place, NoToken.INVALID_REQUEST)
        return False

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
