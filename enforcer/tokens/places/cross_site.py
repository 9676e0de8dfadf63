"""Whether a request may use a cookie: only if no page of another site made the browser send it. Pure.

Browsers say where a request comes from: current ones in Sec-Fetch-Site (Fetch Metadata), and all of them in Origin, at
least if the method is not GET or HEAD (Fetch §3.1). Pages cannot change these fields.

1. A request of the same origin is accepted, and one that the user made, by typing the address or with a bookmark.
2. A navigation from another site, as by a link, is accepted with GET and HEAD, which must change nothing (RFC 9110
   §9.2.1), if it replaces the whole page. Its response is not readable for the other site.
3. A sibling host (`same-site`) is another origin: its pages may be anybody's.
4. Without these fields, only GET and HEAD are accepted, and no WebSocket: an old browser may have sent it for any page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from enforcer.wire.fields import OWS, canonical_origin

_READ: Final = frozenset({b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest"})
_SAFE: Final = (b"GET", b"HEAD")


class CookieUse:
    """Decides by the configured origins whose pages may use the cookie, besides those of the request's own origin."""

    __slots__ = ("_origins",)

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins: Final = frozenset([canonical_origin(origin.encode()) for origin in origins])

    def allows(
        self, method: bytes, upgrade: bytes | None, lines: Sequence[bytes], scheme: bytes, hosts: Iterable[bytes]
    ) -> bool:
        """Return whether a request may use the cookie.

        `lines` are its field lines in pieces. `scheme` is the one that the client used as far as it is known, `hosts`
        are those that the request names.
        """
        values: dict[bytes, bytes] = {}
        for index in range(0, len(lines), 4):
            name = lines[index].lower()
            if name in _READ:
                if name in values:
                    return False
                values[name] = lines[index + 2].strip(OWS).lower()
        origin, site = values.get(b"origin"), values.get(b"sec-fetch-site")
        if origin is not None and canonical_origin(origin) in self._origins:
            return True
        safe = method in _SAFE and upgrade is None
        if site is not None:
            if site in (b"same-origin", b"none"):
                return True
            navigates = values.get(b"sec-fetch-mode") == b"navigate" and values.get(b"sec-fetch-dest") == b"document"
            return safe and navigates
        if origin is None:
            return safe
        # A proxy in front may end TLS without saying so: then only the host can be compared.
        schemes = {scheme, b"https"}
        own = {canonical_origin(b"%b://%b" % (known, host)) for known in schemes for host in hosts if host}
        return canonical_origin(origin) in own
