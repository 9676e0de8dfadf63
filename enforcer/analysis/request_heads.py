"""Makes request heads of requests that tools describe, with the head builder of the request path. Pure."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple

from enforcer.errors import EnforcerError
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import HeadBuilder, RequestHead
from enforcer.proxy.messages.responses import Refusal, malformed
from enforcer.settings.limits import Limits
from enforcer.settings.token_places import ONLY_BEARER, TokenPlaces
from enforcer.tokens import bearer
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.places.cross_site import CookieUse
from enforcer.tokens.places.places import Places
from enforcer.wire.fields import TOKEN, parse_tokens
from enforcer.wire.http2.fields import VALUE

_TOKEN: Final = b"token"
_ENCODED_PREFIX: Final = "base64url."


class UnreadableRequestError(EnforcerError):
    """A request that the enforcer refuses before any rule is matched; `refusal` is its response."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


def make_head(
    method: bytes,
    target: bytes,
    host: bytes,
    fields: Sequence[tuple[bytes, bytes]],
    forwarding: Forwarding,
    limits: Limits,
) -> RequestHead:
    """Return the head of an HTTP/1.1 request, or of an HTTP/1.0 request if `host` is empty.

    Raises UnreadableRequestError if the enforcer refuses such a head.
    """
    if not all(TOKEN.fullmatch(name) and VALUE.fullmatch(value) for name, value in fields):
        raise UnreadableRequestError(malformed("not valid HTTP/1.1 (RFC 9112)"))
    builder = HeadBuilder(forwarding)
    builder.on_url(target)
    if host:
        builder.on_header(b"Host", host)
    for name, value in fields:
        builder.on_header(name, value)
    names = [name.lower() for name, _ in fields]
    options = parse_tokens(b",".join([value for name, value in fields if name.lower() == b"connection"])) or ()
    upgrades = b"upgrade" in names and b"upgrade" in options
    version = "1.1" if host or b"host" in names else "1.0"
    head = builder.build_special(method, True, limits, True, version, upgrades)
    if head.refusal is not None:
        raise UnreadableRequestError(head.refusal)
    return head


class SentToken(NamedTuple):
    """A request with a stand-in for its token, in the first place that a rule reads."""

    authorization: bytes | None
    authorizations: int
    lines: list[bytes]
    target: bytes

    def fault_in(self, settings: TokenPlaces | None, head: RequestHead, cookie_use: CookieUse) -> NoToken | None:
        """Return why a rule with these places does not get the token; None if it reads and accepts it from there."""
        token: bytes | NoToken | DPoPToken
        if settings is None:
            token = bearer.parse(self.authorization, self.authorizations)
        else:
            places = Places(settings, restores_authorization=False)
            taken = places.take(self.authorization, self.authorizations, self.lines, self.target)
            token = taken.token
            if taken.place == "cookie" and places.checks_origin and not allows_cookie(cookie_use, head):
                return NoToken.CROSS_SITE
        return token if isinstance(token, NoToken) else None if token == _TOKEN else NoToken.MISSING


def with_token(settings: TokenPlaces | None, head: RequestHead) -> SentToken:
    """Return a request with a stand-in for its token, in the first place that a rule reads."""
    places = settings or ONLY_BEARER
    lines, target = head.lines, head.target
    if places.bearer:
        return SentToken(b"Bearer " + _TOKEN, head.authorizations + 1, lines, target)
    if places.basic:
        return SentToken(b"Basic " + b64encode(b":" + _TOKEN), head.authorizations + 1, lines, target)
    if places.header:
        lines = [*lines, places.header.encode(), b": ", places.prefix.encode() + _TOKEN, b"\r\n"]
    elif places.cookie:
        lines = [*lines, b"Cookie", b": ", places.cookie.encode() + b"=" + _TOKEN, b"\r\n"]
    elif places.subprotocol:
        encoded = places.subprotocol.startswith(_ENCODED_PREFIX)
        token = urlsafe_b64encode(_TOKEN).rstrip(b"=") if encoded else _TOKEN
        lines = [*lines, b"Sec-WebSocket-Protocol", b": ", places.subprotocol.encode() + token, b"\r\n"]
    else:
        target += (b"&" if b"?" in target else b"?") + (places.query or "").encode() + b"=" + _TOKEN
    return SentToken(head.authorization, head.authorizations, lines, target)


def allows_cookie(cookie_use: CookieUse, head: RequestHead) -> bool:
    """Return whether a request over TLS may use a token in a cookie."""
    return cookie_use.allows(head.method, head.upgrade, head.lines, b"https", [head.host])
