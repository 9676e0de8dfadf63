"""Cross-origin access of web pages to our own responses (CORS, Fetch §3.3). Pure, and prepared at load.

Browsers show a page of another origin neither status nor fields of a response, unless the response permits it: without
that, a page cannot tell an expired token from a broken network.
"""

from __future__ import annotations

from typing import Final

from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.responses import OwnResponse
from enforcer.settings.cors import ANY_ORIGIN, CorsSettings
from enforcer.wire.fields import OWS, TOKEN, canonical_origin, parse_tokens

_ORIGIN: Final = b"origin"
_METHOD: Final = b"access-control-request-method"
_HEADERS: Final = b"access-control-request-headers"
_EXPOSED: Final = "WWW-Authenticate, Retry-After, X-Request-Id, Grpc-Status, Grpc-Message"


class Cors:
    """The pages that may read our own responses."""

    __slots__ = ("_any", "_by_origin", "_max_age")

    def __init__(self, settings: CorsSettings) -> None:
        credentials = "Access-Control-Allow-Credentials: true\r\n" if settings.credentials else ""

        self._by_origin: Final = {
            canonical_origin(origin.encode()): (
                f"Access-Control-Allow-Origin: {canonical_origin(origin.encode()).decode()}\r\n{credentials}"
                f"Access-Control-Expose-Headers: {_EXPOSED}\r\nVary: Origin\r\n"
            ).encode()
            for origin in settings.origins
        }
        self._any: Final = self._by_origin.get(ANY_ORIGIN.encode())
        self._max_age: Final = f"Access-Control-Max-Age: {settings.max_age:.0f}"

    def readable(self, response: OwnResponse, head: RequestHead) -> OwnResponse:
        """Return a response that the page which sent the request may read, if it is one of these pages."""
        origin = _only(head, _ORIGIN)
        if origin is None or response.permits_pages:
            return response
        fields = self._any or self._by_origin.get(canonical_origin(origin))
        return response if fields is None else response.with_lines(fields)

    def answer(self, head: RequestHead, method: bytes) -> OwnResponse:
        """Return the answer to a preflight: the method and the fields that it names are permitted.

        `readable` adds the origin. For another origin there is none, which is how a page is refused.
        """
        fields = [self._max_age, "Vary: Access-Control-Request-Method, Access-Control-Request-Headers"]
        if TOKEN.fullmatch(method):
            fields.append(f"Access-Control-Allow-Methods: {method.decode()}")
        names = parse_tokens(_only(head, _HEADERS) or b"")
        if names:
            fields.append(f"Access-Control-Allow-Headers: {b', '.join(names).decode()}")
        return OwnResponse(200, fields, b"")


def preflight_method(head: RequestHead) -> bytes | None:
    """Return the method that a CORS preflight asks for (Fetch §3.3.2); None if the request is not a preflight.

    A preflight has Origin and Access-Control-Request-Method, and neither credentials nor content.
    """
    if head.method != b"OPTIONS" or head.authorizations or head.has_body or head.upgrade is not None:
        return None
    return None if _only(head, _ORIGIN) is None else _only(head, _METHOD)


def _only(head: RequestHead, wanted: bytes) -> bytes | None:
    """Return the value of the only field with this lower-case name; None if there is none, or if there are several."""
    value: bytes | None = None
    lines = head.lines
    for index in range(0, len(lines), 4):
        if lines[index].lower() == wanted:
            if value is not None:
                return None
            value = lines[index + 2].strip(OWS)
    return value
