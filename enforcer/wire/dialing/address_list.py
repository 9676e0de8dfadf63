"""The addresses of a server's name, in the order in which connections try them (RFC 8305). Pure: `now` is in seconds.

1. The families alternate, IPv6 first; within a family, the resolver's order stays (RFC 6724).
2. An address that did not accept a connection is tried after all others for a while.
3. If the name cannot be resolved again, the last addresses stay in use: a name server's outage need not be ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

MAX_ADDRESSES: Final = 32
"""Most addresses of a name that are used; a name server can send thousands. Bounds memory and work."""


class Address(NamedTuple):
    """An IP address with its port, as sockets take it: `host` is the address as text."""

    family: int
    sockaddr: tuple[Any, ...]

    @property
    def host(self) -> str:
        return str(self.sockaddr[0])


class AddressList:
    """The addresses of one name, used for `lifetime` seconds after they were resolved.

    An address that failed is tried last for `pause` seconds.
    """

    __slots__ = ("_addresses", "_failed", "_lifetime", "_pause", "_resolve_from")

    def __init__(self, lifetime: float, pause: float) -> None:
        self._lifetime = lifetime
        self._pause = pause
        self._addresses: tuple[Address, ...] = ()
        self._failed: dict[Address, float] = {}
        self._resolve_from = float("-inf")

    def needs_resolving(self, now: float) -> bool:
        """Return whether the name should be resolved before the next connection."""
        return now >= self._resolve_from

    @property
    def is_empty(self) -> bool:
        """Whether the name has never been resolved."""
        return not self._addresses

    def update(self, addresses: Sequence[Address], now: float) -> None:
        """Use these addresses from now on; none if the name could not be resolved: the last ones stay."""
        if addresses:
            self._resolve_from = now + self._lifetime
            self._addresses = alternate(addresses)
            self._failed = {address: until for address, until in self._failed.items() if address in self._addresses}

    def in_order(self, now: float) -> list[Address]:
        """Return the addresses in the order in which to try them."""
        failed = [address for address in self._addresses if self._failed.get(address, now) > now]
        return [address for address in self._addresses if address not in failed] + failed

    def record_failure(self, address: Address, now: float) -> None:
        """Record that an address did not accept a connection."""
        if address in self._addresses:
            self._failed[address] = now + self._pause

    def record_success(self, address: Address) -> None:
        """Record that an address accepted a connection."""
        self._failed.pop(address, None)


def alternate(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Return addresses without repetitions, the families alternating, IPv6 first (RFC 8305 §4)."""
    unique = tuple(dict.fromkeys(addresses))[:MAX_ADDRESSES]
    first = [address for address in unique if ":" in address.host]
    second = [address for address in unique if ":" not in address.host]
    return tuple(address for pair in zip_longest(first, second) for address in pair if address is not None)
