"""The key of a client in tables that clients share."""

from __future__ import annotations

import pytest

from enforcer.clients import OWN, UNKNOWN, client_key, client_network


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201%eth0", "192.0.2.1"),
        ("64:ff9b::192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::2%1", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_ipv4_address_is_a_client_and_so_is_a_64_of_ipv6(address: str, key: str) -> None:
    """In any spelling; a zone id, which the client's own machine chooses, makes no other client."""
    assert client_key(address) == key


@pytest.mark.parametrize(
    "text", ["", "unknown", "_hidden", "192.0.2.1:80", "192.0.2.01", "1", "/run/app.sock", "x" * 9000]
)
def test_everything_else_is_one_client(text: str) -> None:
    """Texts may be invented without end, and must not each have a share."""
    assert client_key(text) == UNKNOWN


@pytest.mark.parametrize(
    ("key", "network"),
    [
        ("192.0.2.1", "192.0.0.0/16"),
        ("2001:db8:1:2::/64", "2001:db8::/32"),
        ("::/64", "::/32"),
        (UNKNOWN, UNKNOWN),
        (OWN, OWN),
    ],
)
def test_a_client_is_in_a_wider_network(key: str, network: str) -> None:
    """Which one owner may have as a whole."""
    assert client_network(key) == network
