"""The places of a request that a token is read from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from enforcer.errors import SettingsError
from enforcer.units import Pattern, Section, Switch

# RFC 9110 §5.6.2, RFC 6265 §4.1.1: names of fields and cookies, and subprotocols (RFC 6455 §4.1)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PARAMETER: Final = re.compile(r"[A-Za-z0-9._~-]+")
_FIELD: Final = re.compile(r"[A-Za-z0-9-]+")

Name = Annotated[str, Pattern(rf"^{_TOKEN.pattern}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPlaces(Section):
    """The places of a request that a token is read from.

    A request has its token in one of them; several tokens are refused with 400. A token in any other place than
    `bearer` is removed before the request is forwarded. If neither `bearer` nor `basic` is set, the Authorization field
    is the app's own.
    """

    bearer: Switch = False
    """The Authorization field, with the scheme Bearer or DPoP."""
    basic: Switch = False
    """The password of Basic credentials (RFC 7617) in the Authorization field, with any user name. A 401 then asks for
    Basic credentials too."""
    header: Annotated[str, Pattern(rf"^{_FIELD.pattern}$")] | None = None
    """Name of a header field, such as `X-Access-Token`."""
    prefix: str = ""
    """Text before the token in the field `header`, such as `Token `; a field without it has no token. Upper and lower
    case are the same."""
    cookie: Name | None = None
    """Name of a cookie, such as `__Host-token`. Other cookies are forwarded."""
    cross_site: Literal["refuse", "allow"] = "refuse"
    """Treatment of a request whose token is in the cookie, and that a page of another site made the browser send:
    `refuse` is the protection against it (CSRF). Links from other sites work, by GET."""
    subprotocol: Name | None = None
    """Prefix of a WebSocket subprotocol that consists of it and the token, such as `access-token.`, since a browser can
    set no other field of a WebSocket. If the prefix begins with `base64url.`, the token is encoded, as in Kubernetes:
    `base64url.bearer.authorization.k8s.io.`."""
    query: Annotated[str, Pattern(rf"^{_PARAMETER.pattern}$")] | None = None
    """Name of a query parameter, such as `access_token`. URLs stay in histories and in logs of other servers: prefer
    any other place."""

    def __post_init__(self) -> None:
        faults: dict[tuple[str | int, ...], str] = {}
        if not (self.bearer or self.basic or self.header or self.cookie or self.subprotocol or self.query):
            faults[()] = "names no place: set bearer, basic, header, cookie, subprotocol or query"
        if self.header is not None and not _FIELD.fullmatch(self.header):
            faults["header",] = "a field's name has letters, digits and hyphens"
        if (self.header or "").lower() in _OTHER_KEYS:
            faults["header",] = f"has a key of its own: {_OTHER_KEYS[(self.header or '').lower()]}"
        if self.prefix and self.header is None:
            faults["prefix",] = "needs header"
        if not (self.prefix.isascii() and self.prefix.isprintable()) or self.prefix != self.prefix.lstrip():
            faults["prefix",] = "expected printable ASCII that begins with no space"
        for key, name in (("cookie", self.cookie), ("subprotocol", self.subprotocol)):
            if name is not None and not _TOKEN.fullmatch(name):
                faults[key,] = "expected letters, digits, hyphens, dots and _"
        if self.query is not None and not _PARAMETER.fullmatch(self.query):
            faults["query",] = "expected letters, digits, hyphens, dots, _ and ~"
        if self.cross_site != "refuse" and self.cookie is None:
            faults["cross_site",] = "needs cookie"
        if faults:
            raise SettingsError(faults)


_OTHER_KEYS: Final = {"cookie": "cookie", "sec-websocket-protocol": "subprotocol", "authorization": "bearer, or basic"}
"""Fields of which only a part is the token, with the keys for them."""
ONLY_BEARER: Final = TokenPlaces(bearer=True)
"""The default: tokens are read only from the Authorization field."""
