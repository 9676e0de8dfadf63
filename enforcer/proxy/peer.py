"""Who is at the other end of a client's connection, and what the upstream is told of it."""

from __future__ import annotations

import asyncio
from typing import Final

from enforcer.proxy.forwarding import Forwarding, Kind
from enforcer.proxy.request import RequestHead

_CHAIN: Final = int(Kind.CHAIN)


class Peer:
    """One connection's other end. `chain` are the lines for requests to `host`, the last one asked for."""

    __slots__ = ("_address", "_forwarding", "_scheme", "_trusted", "chain", "host")

    def __init__(self, transport: asyncio.BaseTransport, forwarding: Forwarding) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if isinstance(peer, tuple) else "unknown"
        self._scheme = "https" if transport.get_extra_info("ssl_object") is not None else "http"
        self._forwarding = forwarding
        self._trusted = forwarding.trusts(self._address)
        self.chain = b""
        self.host: bytes | None = None

    def renew(self, forwarding: Forwarding) -> None:
        """Go by these settings for the requests to come."""
        if forwarding is not self._forwarding:
            self._forwarding = forwarding
            self._trusted = forwarding.trusts(self._address)
            self.host = None

    def introduce(self, request: RequestHead) -> None:
        """Write what the upstream is told of the client, and remember it where the next request will need the same."""
        forwarding = request.snapshot.forwarding
        received: dict[bytes, list[bytes]] = {}
        if request.rare is not None and self._is_trusted(forwarding):
            for name, value in request.rare.get(_CHAIN, ()):
                received.setdefault(name.lower(), []).append(value)
        request.chain = forwarding.chain(self._address, self._scheme, request.host, received)
        if not received and request.refusal is None and forwarding is self._forwarding:
            self.chain = request.chain
            self.host = request.host

    def client_address(self, request: RequestHead) -> str:
        """Return the client's address: the peer's, or what a trusted peer says that its own peer's is."""
        forwarding = request.snapshot.forwarding
        if request.rare is None or not self._is_trusted(forwarding):
            return self._address
        chain = [value for name, value in request.rare.get(_CHAIN, ()) if name.lower() == b"x-forwarded-for"]
        return forwarding.client_address(self._address, chain)

    def _is_trusted(self, forwarding: Forwarding) -> bool:
        # A request that began before a reload goes by the settings of then.
        return self._trusted if forwarding is self._forwarding else forwarding.trusts(self._address)
