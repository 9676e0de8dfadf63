"""The key of a client, by which its share of what all clients use is counted.

One client often has a whole IPv6 network, but rarely more than a few IPv4 addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

UNKNOWN: Final = "unknown"
"""The key of every client whose address is not known, such as that of a Unix socket."""
OWN: Final = ""
"""The key of the enforcer itself."""

_TRANSLATED: Final = int(IPv6Address("64:ff9b::")) >> 32
"""The network of IPv4 addresses behind a translator (RFC 6052 §2.1): a /96, so all of them would be one client."""


class Networks:
    """A set of addresses, made of addresses and networks (`10.0.0.1`, `10.0.0.0/8`); raises ValueError for others."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._networks = tuple(ip_network(text, strict=False) for text in texts)

    def __contains__(self, address: str) -> bool:
        """Return whether an address is in it, also if it is IPv4 written as IPv6; no other text is in it."""
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)


def client_key(address: str) -> str:
    """Return an IPv4 address as it is, also if it is written as IPv6, and the /64 of any other IPv6 address.

    Every text that is not an address has the key `UNKNOWN`, so that no client gets more shares by inventing texts.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    mapped = _embedded(parsed)
    if mapped is not None:
        return str(mapped)
    # By number, because a zone id (fe80::1%eth0) belongs to no network.
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


def client_network(key: str) -> str:
    """Return the network that a key is in: its /16, or IPv6 /32, which often belongs to one owner as a whole."""
    if ":" in key:
        return f"{IPv6Address(int(IPv6Address(key.partition('/')[0])) >> 96 << 96)}/32"
    first, dot, rest = key.partition(".")
    return f"{first}.{rest.partition('.')[0]}.0.0/16" if dot else key


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if int(address) >> 32 == _TRANSLATED else None
