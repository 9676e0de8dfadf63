"""The origins at which clients reach the enforcer, for the comparison with a DPoP proof's URL (RFC 9449 §4.3). Pure.

1. A proof must be for one of the configured origins. Host and X-Forwarded-Host are what the sender says of itself: they
   can only narrow the choice, so that a proof which another server got is not accepted here, whatever they say.
2. If no origin is configured, a proof must be for localhost or a loopback address, which nobody else's server has.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from enforcer.wire.fields import host_name


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454 §4), normalized: the host in lower case, the port always there."""

    scheme: bytes
    host: bytes
    port: int


class Origins:
    """The configured origins, ready for use; `urls` are URLs without path, which the settings have checked."""

    __slots__ = ("_all", "_by_host")

    def __init__(self, urls: Iterable[str]) -> None:
        parsed = [parse_url(url.encode()) for url in urls]
        self._all = frozenset([url[0] for url in parsed if url is not None])
        self._by_host = {
            name: frozenset([origin for origin in self._all if origin.host == name])
            for name in [origin.host for origin in self._all]
        }

    def candidates(self, scheme: bytes, hosts: Sequence[bytes]) -> Collection[Origin]:
        """Return the origins that a proof may be for, with a request that names these hosts.

        `hosts` are the values of Host and, from a trusted proxy, of X-Forwarded-Host. A configured host among them
        admits only its own origins, since rules and app may treat each of them as another server. `scheme` is that
        of the connection, or the one that a trusted proxy names.
        """
        if not self._all:
            url = parse_url(b"%b://%b" % (scheme, hosts[-1]))
            return () if url is None or not _LOOPBACK.fullmatch(url[0].host) else (url[0],)
        origins = self._all
        for host in hosts:
            origins &= self._by_host.get(host_name(host), self._all)
        return origins


_LOOPBACK: Final = re.compile(rb"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
# RFC 3986 §3.2, without userinfo; query and fragment are not compared (RFC 9449 §4.3). Bytes, since letters outside
# ASCII have lower-case letters inside it.
_URL: Final = re.compile(rb"(?is)(https?)://(\[[0-9a-f:.]+\]|[^/?#@:\[\]]+)(?::([0-9]{0,5}))?(/[^?#]*)?(?:[?#].*)?")
_PORTS: Final = {b"http": 80, b"https": 443}


def parse_url(url: bytes) -> tuple[Origin, bytes] | None:
    """Return origin and path of a URL, or None if it is not an http URL. The path is as written."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme = match[1].lower()
    return Origin(scheme, match[2].lower(), int(match[3] or _PORTS[scheme])), match[4] or b"/"
