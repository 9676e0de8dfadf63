"""Who is at the other end of a client's connection, what they show, and what the upstream is told of them.

A trusted proxy speaks for its own clients: what it says of them counts, and nothing that it shows for itself.
"""

from __future__ import annotations

import asyncio
from typing import Final

from enforcer.proxy.forwarding import Forwarding, Kind
from enforcer.proxy.request import RequestHead
from enforcer.tokens.dpop.binding import digest
from enforcer.wire.fields import byte_sequence

_CHAIN: Final = int(Kind.CHAIN)
_CERTIFICATE: Final = int(Kind.CERTIFICATE)


class Peer:
    """One connection's other end. `chain` are the lines for requests to `host`, the last one asked for."""

    __slots__ = ("_address", "_forwarding", "_thumbprint", "_tls", "_trusted", "chain", "host")

    def __init__(self, transport: asyncio.BaseTransport, forwarding: Forwarding) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if isinstance(peer, tuple) else "unknown"
        self._tls = transport.get_extra_info("ssl_object")
        self._thumbprint: str | None = None
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
        for name, value in self._said(request, _CHAIN):
            received.setdefault(name.lower(), []).append(value)
        request.chain = forwarding.chain(self._address, self._scheme, request.host, received)
        if not received and request.refusal is None and forwarding is self._forwarding:
            self.chain = request.chain
            self.host = request.host

    def client_address(self, request: RequestHead) -> str:
        """Return the client's address: the peer's, or what a trusted peer says that its own peer's is."""
        chain = [value for name, value in self._said(request, _CHAIN) if name.lower() == b"x-forwarded-for"]
        return request.snapshot.forwarding.client_address(self._address, chain) if chain else self._address

    def url(self, request: RequestHead) -> str:
        """Return the URL of a request as the client sees it, without query; a trusted peer says where it was sent."""
        said = {name.lower(): value.decode("latin-1") for name, value in self._said(request, _CHAIN)}
        scheme = said.get(b"x-forwarded-proto", self._scheme)
        host = said.get(b"x-forwarded-host", request.host.decode("latin-1"))
        return f"{scheme}://{host}{request.target.partition(b'?')[0].decode('latin-1')}"

    def thumbprint(self, request: RequestHead) -> str:
        """Return the SHA-256 of the certificate that the client showed, base64url (RFC 8705 §3.1); empty if none."""
        forwarding = request.snapshot.forwarding
        if self._is_trusted(forwarding):
            shown = [byte_sequence(value) for _, value in self._said(request, _CERTIFICATE)]
            return digest(shown[0]) if forwarding.client_cert and len(shown) == 1 and shown[0] else ""
        if self._thumbprint is None:
            certificate = None if self._tls is None else self._tls.getpeercert(binary_form=True)
            self._thumbprint = digest(certificate) if certificate else ""
        return self._thumbprint

    @property
    def _scheme(self) -> str:
        return "http" if self._tls is None else "https"

    def _said(self, request: RequestHead, kind: int) -> list[tuple[bytes, bytes]]:
        """Return the fields of a kind, where the peer is trusted to have written them."""
        if request.rare is None or not self._is_trusted(request.snapshot.forwarding):
            return []
        return request.rare.get(kind, [])

    def _is_trusted(self, forwarding: Forwarding) -> bool:
        # A request that began before a reload goes by the settings of then.
        return self._trusted if forwarding is self._forwarding else forwarding.trusts(self._address)
