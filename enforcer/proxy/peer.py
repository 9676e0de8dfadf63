"""The other end of a client connection: its address and certificate, and the forwarding fields that describe it.

A trusted proxy speaks for its own clients: what it says of them counts, and what it presents itself does not.
"""

from __future__ import annotations

import asyncio
from typing import Final

from enforcer.clients import client_key
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import RequestHead
from enforcer.tokens.jwt.jws import sha256_base64url
from enforcer.wire.fields import FieldKind, byte_sequence

_FORWARDED: Final = int(FieldKind.FORWARDED)
_CERTIFICATE: Final = int(FieldKind.CERTIFICATE)

PROXY_DOOR: Final = "proxy"
"""The door that forwards what is allowed."""


class Peer:
    """The other end of one client connection.

    `address` is its address, `own_key` its key as a client (see `clients.client_key`), and `own` both of them. `key` is
    the client whose share of the connections it counts for: None for a trusted proxy, which speaks for many clients.

    Each request brings the `forwarding` settings that it began with, since they may be older than the newest ones.
    `door` names the door that it came to, for the log.
    """

    __slots__ = (
        "_fields", "_forwarding", "_host", "_thumbprint", "_tls", "_trusted", "address", "door", "own", "own_key",
    )  # fmt: skip

    def __init__(self, transport: asyncio.BaseTransport, forwarding: Forwarding, door: str = PROXY_DOOR) -> None:
        self.door: Final = door
        name = transport.get_extra_info("peername")
        self.address = str(name[0]) if isinstance(name, tuple) else "unknown"
        self._tls = transport.get_extra_info("ssl_object")
        self._thumbprint: str | None = None
        self._forwarding = forwarding
        self._trusted = forwarding.trusts(self.address)
        self.own_key = client_key(self.address)
        self.own = (self.address, self.own_key)
        self._host: bytes | None = None
        self._fields = b""  # of requests to `_host`: mostly the next request is for the same host

    def use(self, forwarding: Forwarding) -> None:
        """Prepare for requests with other settings."""
        if forwarding is not self._forwarding:
            self._forwarding = forwarding
            self._trusted = forwarding.trusts(self.address)
            self._host = None

    @property
    def key(self) -> str | None:
        return None if self._trusted else self.own_key

    def client(self, head: RequestHead, forwarding: Forwarding) -> str:
        """Return the key of the client that sent a request, also through a trusted proxy."""
        return self.sender(head, forwarding)[1]

    def sender(self, head: RequestHead, forwarding: Forwarding) -> tuple[str, str]:
        """Return the address of the client that sent a request, also through a trusted proxy, and its key."""
        if head.special is None or not self._is_trusted(forwarding):
            return self.own
        return forwarding.sender(self.address, self._forwarded_for(head, forwarding))

    def known_address(self, head: RequestHead, forwarding: Forwarding) -> str:
        """Return the address of the client that sent a request; empty if it is unknown.

        A trusted proxy that names no client, in X-Forwarded-For, may have the request from anybody.
        """
        address = self.sender(head, forwarding)[0]
        if self._is_trusted(forwarding) and (address == self.address or forwarding.trusts(address)):
            return ""
        return address

    def forwarding_fields(self, head: RequestHead, forwarding: Forwarding) -> bytes:
        """Return the field lines that describe the client to the upstream."""
        if head.special is None and head.host == self._host and forwarding is self._forwarding:
            return self._fields
        received: dict[bytes, list[bytes]] = {}
        for name, value in self._trusted_fields(head, forwarding, _FORWARDED):
            received.setdefault(name.lower(), []).append(value)
        client = self.sender(head, forwarding)[0]
        fields = forwarding.forwarding_fields(self.address, client, self._scheme, head.host, received)
        if not received and forwarding is self._forwarding:
            self._fields = fields
            self._host = head.host
        return fields

    def origin(self, head: RequestHead, forwarding: Forwarding) -> tuple[bytes, list[bytes]]:
        """Return the scheme of a request, and the hosts that its sender names: Host, and a trusted proxy's own.

        The sender may name any host, and so may the client of a trusted proxy that passes on what it is sent.
        """
        fields = self._trusted_fields(head, forwarding, _FORWARDED)
        named = {name.lower(): value for name, value in fields}
        hosts = [head.host]
        if b"x-forwarded-host" in named:
            hosts.append(named[b"x-forwarded-host"])
        return named.get(b"x-forwarded-proto", self._scheme.encode()), hosts

    def thumbprint(self, head: RequestHead, forwarding: Forwarding) -> str:
        """Return the SHA-256 of the client's certificate, base64url (RFC 8705 §3.1); empty if it presented none."""
        if self._is_trusted(forwarding):
            fields = self._trusted_fields(head, forwarding, _CERTIFICATE)
            certificates = [byte_sequence(value) for _, value in fields]
            if not forwarding.client_cert or len(certificates) != 1 or not certificates[0]:
                return ""
            return sha256_base64url(certificates[0])
        if self._thumbprint is None:
            certificate = None if self._tls is None else self._tls.getpeercert(binary_form=True)
            self._thumbprint = sha256_base64url(certificate) if certificate else ""
        return self._thumbprint

    @property
    def _scheme(self) -> str:
        return "http" if self._tls is None else "https"

    def _forwarded_for(self, head: RequestHead, forwarding: Forwarding) -> list[bytes]:
        fields = self._trusted_fields(head, forwarding, _FORWARDED)
        return [value for name, value in fields if name.lower() == b"x-forwarded-for"]

    def _trusted_fields(self, head: RequestHead, forwarding: Forwarding, kind: int) -> list[tuple[bytes, bytes]]:
        """Return the fields of a kind if the peer is trusted to have written them."""
        if head.special is None or not self._is_trusted(forwarding):
            return []
        return list(head.special.get(kind, ()))

    def _is_trusted(self, forwarding: Forwarding) -> bool:
        return self._trusted if forwarding is self._forwarding else forwarding.trusts(self.address)
