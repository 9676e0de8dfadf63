"""The places of a token, as configured."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.errors import SettingsError
from enforcer.settings.token_places import TokenPlaces


@pytest.mark.parametrize(
    ("places", "path"),
    [
        ({}, ()),
        ({"bearer": False}, ()),
        ({"header": "X Token"}, ("header",)),
        ({"header": "Cookie"}, ("header",)),
        ({"header": "sec-websocket-protocol"}, ("header",)),
        ({"header": "Authorization"}, ("header",)),
        ({"bearer": True, "prefix": "Token "}, ("prefix",)),
        ({"header": "X-Token", "prefix": " Token"}, ("prefix",)),
        ({"header": "X-Token", "prefix": "T\n"}, ("prefix",)),
        ({"cookie": "a=b"}, ("cookie",)),
        ({"cookie": "a;b"}, ("cookie",)),
        ({"subprotocol": "a,b"}, ("subprotocol",)),
        ({"query": "a&b"}, ("query",)),
        ({"bearer": True, "cross_site": "allow"}, ("cross_site",)),
    ],
)
def test_a_place_that_no_request_has_is_an_error(places: dict[str, Any], path: tuple[str, ...]) -> None:
    """At the key that is wrong."""
    with pytest.raises(SettingsError) as error:
        TokenPlaces(**places)
    assert list(error.value.errors) == [path]


def test_several_places_may_be_read() -> None:
    """Of each kind one."""
    TokenPlaces(
        bearer=True, basic=True, header="X-Token", prefix="Token ", cookie="__Host-t", subprotocol="t.", query="t"
    )
