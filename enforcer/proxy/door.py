"""The door: the way in that a listener is. Each door only reads requests and writes responses its own way.

The decision between the two is the same (`proxy.authorize`). The proxy is the door that forwards what is allowed.
"""

from __future__ import annotations

import asyncio
from typing import Final

from enforcer.proxy.exchange import Downstream, Exchange
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.response_writer import ResponseWriter
from enforcer.proxy.peer import Peer
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot


class Door:
    """The proxy, and the base of other doors."""

    @property
    def forwards(self) -> bool:
        """Whether an allowed request is forwarded, so that it can become a tunnel."""
        return True

    def peer(self, transport: asyncio.BaseTransport, forwarding: Forwarding) -> Peer:
        """Return the other end of a new connection."""
        return Peer(transport, forwarding)

    def exchange(
        self,
        client: Downstream,
        writer: ResponseWriter,
        registry: ConnectionRegistry,
        peer: Peer,
        head: RequestHead,
        snapshot: Snapshot,
    ) -> Exchange:
        """Return the exchange of a request with this head, which may be unreadable."""
        return Exchange(client, writer, registry, peer, head, snapshot)


PROXY: Final = Door()
"""The door of listeners that forward."""
