"""A cookie is used only by requests that no page of another site made the browser send."""

from __future__ import annotations

import pytest

from enforcer.tokens.places.cross_site import CookieUse

OWN = "https://app.example.org"
LISTED = "https://web.example.org"
FOREIGN = "https://evil.example.net"
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def allows(
    fields: dict[str, str], method: str = "GET", upgrade: bytes | None = None, scheme: str = "https",
    host: str = "app.example.org", twice: str = "",
) -> bool:  # fmt: skip
    lines = [piece for name, value in fields.items() for piece in (name.encode(), b": ", value.encode(), b"\r\n")]
    if twice:
        lines += [twice.encode(), b": ", fields[twice].encode(), b"\r\n"]
    return CookieUse([LISTED]).allows(method.encode(), upgrade, lines, scheme.encode(), [host.encode()])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    ("fields", "safe", "unsafe"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True, True),
        ({"Sec-Fetch-Site": "none"}, True, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": OWN}, True, True),
        ({"Sec-Fetch-Site": "same-site"}, False, False),
        ({"Sec-Fetch-Site": "cross-site"}, False, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": FOREIGN}, False, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": LISTED}, True, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": LISTED.upper()}, True, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": OWN}, False, False),
        ({"Sec-Fetch-Site": "cross-site", **NAVIGATION}, True, False),
        ({"Sec-Fetch-Site": "same-site", **NAVIGATION}, True, False),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, False, False),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "document"}, False, False),
        ({"Sec-Fetch-Site": "future"}, False, False),
        ({"Sec-Fetch-Site": ""}, False, False),
        ({"Origin": OWN}, True, True),
        ({"Origin": f"{OWN}:443"}, True, True),
        ({"Origin": "https://APP.example.org"}, True, True),
        ({"Origin": LISTED}, True, True),
        ({"Origin": FOREIGN}, False, False),
        ({"Origin": f"{OWN}.evil.example"}, False, False),
        ({"Origin": f"{OWN}:8443"}, False, False),
        ({"Origin": "http://app.example.org"}, False, False),
        ({"Origin": "null"}, False, False),
        ({"Origin": ""}, False, False),
        ({}, True, False),
    ],
)
def test_other_sites_may_only_link(fields: dict[str, str], safe: bool, unsafe: bool, method: str) -> None:
    """By the browser's own fields; of requests without them only those that change nothing."""
    assert allows(fields, method) == (safe if method in ("GET", "HEAD") else unsafe)


@pytest.mark.parametrize("fields", [{}, {"Sec-Fetch-Site": "cross-site", **NAVIGATION}, {"Origin": FOREIGN}])
def test_a_websocket_is_not_a_request_that_changes_nothing(fields: dict[str, str]) -> None:
    """Its messages may do anything, and a page can read them (cross-site WebSocket hijacking)."""
    assert not allows(fields, upgrade=b"websocket")
    assert allows({"Origin": OWN}, upgrade=b"websocket")
    assert allows({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "websocket"}, upgrade=b"websocket")


def test_only_plain_text_of_our_own_is_its_own_origin() -> None:
    """Behind a proxy that ends TLS the scheme may be unknown: https is always accepted, http only if it was used."""
    assert allows({"Origin": "http://localhost:8091"}, "POST", scheme="http", host="localhost:8091")
    assert allows({"Origin": "https://localhost:8091"}, "POST", scheme="http", host="localhost:8091")
    assert not allows({"Origin": "http://localhost:8091"}, "POST", scheme="https", host="localhost:8091")
    assert not allows({"Origin": "https://"}, "POST", host="")


@pytest.mark.parametrize("name", ["Origin", "Sec-Fetch-Site"])
def test_a_field_that_comes_twice_is_refused(name: str) -> None:
    """No browser sends two."""
    fields = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
    assert allows(fields)
    assert not allows(fields, twice=name)
