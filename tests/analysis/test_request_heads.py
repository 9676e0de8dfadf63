"""Request heads of requests that tools describe."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from enforcer.analysis.request_heads import UnreadableRequestError, make_head, with_token
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import RequestHead
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.settings.limits import Limits
from enforcer.settings.token_places import TokenPlaces
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.places.cross_site import CookieUse

PLACES: list[dict[str, Any]] = [
    {"bearer": True},
    {"basic": True},
    {"header": "X-T", "prefix": "Token "},
    {"cookie": "t"},
    {"subprotocol": "token."},
    {"subprotocol": "base64url.token."},
    {"query": "t"},
]


def head(*fields: tuple[bytes, bytes], target: bytes = b"/a", host: bytes = b"app") -> RequestHead:
    return make_head(b"GET", target, host, fields, Forwarding(ForwardingSettings()), Limits())


def test_a_head_is_read_as_by_the_request_path() -> None:
    """Fields that Connection lists are removed, and the ones that the enforcer sets itself."""
    read = head((b"Connection", b"X-A"), (b"X-A", b"1"), (b"X-B", b"2"), (b"X-Forwarded-User", b"3"))
    assert read.lines == [b"Host", b": ", b"app", b"\r\n", b"X-B", b": ", b"2", b"\r\n"]
    assert head((b"Connection", b"upgrade"), (b"Upgrade", b"websocket")).upgrade == b"websocket"
    assert head((b"Upgrade", b"websocket")).upgrade is None
    assert head((b"Host", b"b"), host=b"").host == b"b"
    assert head(host=b"").http10


@pytest.mark.parametrize("field", [(b"a b", b""), (b"", b"c"), (b"X-A", b"b\r\nc"), (b"X-A", b"\x00")])
def test_a_field_that_no_request_has_is_refused(field: tuple[bytes, bytes]) -> None:
    """The parser of the request path refuses it too."""
    with pytest.raises(UnreadableRequestError, match="RFC 9112"):
        head(field)


@pytest.mark.parametrize("target", [b"/a", b"/a?b=c"])
@pytest.mark.parametrize("sent", PLACES)
def test_a_token_is_read_by_the_rules_that_have_its_place(sent: dict[str, Any], target: bytes) -> None:
    """It is in the first place of the rule that it was sent for."""
    request = head(target=target)
    first = next(iter(sent))
    for read in PLACES:
        token = with_token(settings(sent), request)
        expected = read == sent or (first == "bearer" and read == {"bearer": True})
        assert (token.fault_in(settings(read), request, CookieUse()) is None) is expected
    fault = None if first == "bearer" else NoToken.MISSING
    assert with_token(settings(sent), request).fault_in(None, request, CookieUse()) is fault
    assert with_token(None, request).fault_in(settings(sent), request, CookieUse()) is fault


def test_a_cookie_of_another_site_is_not_read() -> None:
    """A rule may accept it nevertheless."""
    request = head((b"Sec-Fetch-Site", b"cross-site"))
    token = with_token(settings({"cookie": "t"}), request)
    assert token.fault_in(settings({"cookie": "t"}), request, CookieUse()) is NoToken.CROSS_SITE
    assert token.fault_in(settings({"cookie": "t", "cross_site": "allow"}), request, CookieUse()) is None


def settings(places: dict[str, Any]) -> TokenPlaces:
    """Return the places of a rule."""
    return TypeAdapter(TokenPlaces).validate_python(places)
