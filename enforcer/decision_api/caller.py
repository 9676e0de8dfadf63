"""The proxy that asks for decisions: whether it may, and what it says of its client.

A caller is believed about its client as a trusted proxy is, so each request must meet every condition on callers.
"""

from __future__ import annotations

import asyncio
from hmac import compare_digest
from typing import Final

from enforcer.clients import Networks
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.peer import Peer
from enforcer.tokens.jwt.jws import sha256_base64url
from enforcer.wire.fields import OWS, SECRET_FIELD, FieldKind, byte_sequence

_CERTIFICATE: Final = int(FieldKind.CERTIFICATE)
_DROP: Final = int(FieldKind.DROP)

GRPC: Final = "envoy-grpc"
"""The contract whose request is a message."""


class Access:
    """The conditions on callers: their addresses (None: any), a client certificate, which TLS checks, and a secret."""

    __slots__ = ("_networks", "_secret", "certified")

    def __init__(self, networks: Networks | None, secret: bytes | None, *, certified: bool) -> None:
        self._networks = networks
        self._secret = secret
        self.certified: Final = certified

    def lists(self, address: str) -> bool:
        """Return whether the address is one of those that are named."""
        return self._networks is not None and address in self._networks

    def admits(self, head: RequestHead, *, listed: bool) -> bool:
        """Return whether a request comes from a caller; `listed`: its peer's address is one of those that are named."""
        if self._networks is not None and not listed:
            return False
        if self._secret is None:
            return True
        fields = (head.special or {}).get(_DROP, ())
        values = [value for name, value in fields if name.lower() == SECRET_FIELD]
        return len(values) == 1 and compare_digest(values[0].strip(OWS), self._secret)


class Caller(Peer):
    """The other end of a connection to the decision API. Only requests that `admits` accepts may be read by it."""

    __slots__ = ("_access", "_listed")

    def __init__(self, transport: asyncio.BaseTransport, forwarding: Forwarding, door: str, access: Access) -> None:
        super().__init__(transport, forwarding, door)
        self._access = access
        self._listed = access.lists(self.address)

    def admits(self, access: Access, head: RequestHead) -> bool:
        """Return whether a request on this connection comes from a caller, by these conditions."""
        if access is not self._access:
            self._access = access
            self._listed = access.lists(self.address)
        return access.admits(head, listed=self._listed)

    @property
    def key(self) -> str | None:
        # A caller speaks for many clients, so its connections have no share; one that is not known yet has.
        return None if self._listed or self._access.certified else self.own_key

    def thumbprint(self, head: RequestHead, forwarding: Forwarding) -> str:
        # In a message, it is Envoy's own attribute, and no field that a client could have sent.
        fields = (head.special or {}).get(_CERTIFICATE, ())
        if self.door != GRPC or not fields:
            return super().thumbprint(head, forwarding)
        return sha256_base64url(byte_sequence(fields[0][1]) or b"")

    def _is_trusted(self, forwarding: Forwarding) -> bool:
        return True
