"""Reading the token of a request by any rule's places."""

from __future__ import annotations

import pytest
from harness.playbook import Pipe, head
from harness.snapshots import snapshot

from enforcer.proxy.peer import Peer
from enforcer.proxy.token_reading import read_token
from enforcer.settings.token_places import TokenPlaces
from enforcer.tokens.bearer import DPoPToken, NoToken
from enforcer.tokens.places.places import Places

SNAPSHOT = snapshot()
BEARER = (b"Authorization", b"Bearer a")
COOKIE = (b"Cookie", b"t=b")
FROM_ELSEWHERE = (b"Sec-Fetch-Site", b"cross-site")


def read(
    settings: TokenPlaces | None, *fields: tuple[bytes, bytes], method: bytes = b"GET"
) -> bytes | NoToken | DPoPToken:
    places = None if settings is None else Places(settings, restores_authorization=False)
    return read_token(places, head(b"GET", b"/", *fields), method, Peer(Pipe(), SNAPSHOT.forwarding), SNAPSHOT)


def test_a_rule_reads_only_its_own_places() -> None:
    """By default the Authorization field."""
    assert read(None, BEARER, COOKIE) == b"a"
    assert read(None, COOKIE) is NoToken.MISSING
    assert read(TokenPlaces(bearer=False, cookie="t"), BEARER, COOKIE) == b"b"


def test_a_token_with_the_dpop_scheme_is_marked() -> None:
    """It counts only with a proof."""
    token = read(None, (b"Authorization", b"DPoP a"))
    assert isinstance(token, DPoPToken)
    assert token.token == b"a"


@pytest.mark.parametrize(("method", "token"), [(b"GET", b"b"), (b"DELETE", NoToken.CROSS_SITE)])
def test_a_cookie_is_checked_for_the_method_that_is_authorized(method: bytes, token: bytes | NoToken) -> None:
    """A navigation may read, but a field that overrides the method makes it write."""
    cookie = TokenPlaces(bearer=False, cookie="t")
    navigation = ((b"Sec-Fetch-Mode", b"navigate"), (b"Sec-Fetch-Dest", b"document"))
    assert read(cookie, COOKIE, FROM_ELSEWHERE, *navigation, method=method) == token
