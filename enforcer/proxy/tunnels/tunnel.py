"""A tunnel: two connections after an upgrade (RFC 9110 §7.8). Bytes are copied both ways as they come.

1. Bytes sent before one side closed are delivered to the other, and a side may close while the other still sends.
2. It ends if no byte was copied for too long, when its token expires, and when a newer snapshot denies it.
"""

from __future__ import annotations

import asyncio

from enforcer.proxy.registry import IDLE, TLS, ConnectionRegistry, ManagedConnection
from enforcer.proxy.snapshot import Snapshot
from enforcer.proxy.tunnels.tunnel_lifetime import TunnelLifetime
from enforcer.tokens.purge import Purge
from enforcer.wire.carrier import UpgradedConnection
from enforcer.wire.sockets.plaintext import set_protocol
from enforcer.wire.sockets.tls_reader import TlsReader
from enforcer.wire.turns import STEP, PacedInput, Readable, Turns


class _End:
    """One end of a tunnel, an asyncio.Protocol by its methods: bytes that arrive here leave by the other end."""

    __slots__ = ("_finished", "_tunnel", "input", "other", "transport")

    def __init__(self, tunnel: Tunnel, turns: Turns, transport: asyncio.Transport, readable: Readable) -> None:
        self._tunnel: Tunnel | None = tunnel
        self._finished = False
        self.input = PacedInput(turns, readable, self)
        self.other: _End | None = None
        self.transport = transport

    def release(self) -> None:
        """Drop the references to the tunnel and the other end: otherwise only the garbage collector frees them."""
        self._tunnel = self.other = None
        self.input.close()

    @property
    def client(self) -> str | None:
        holder = None if self._tunnel is None else self._tunnel.holder
        return None if holder is None else holder.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self._tunnel is not None:
            self._tunnel.lifetime.active = True
            self.other.transport.write(data)
        if len(data) > STEP:  # a hundred tunnels with middle-sized reads take as long as one with large reads
            self.input.wait(len(data))

    def on_input(self, data: bytes) -> None:
        """Do nothing: no input is held here."""

    def on_turn_end(self) -> None:
        """Do nothing: everything is passed on at once."""

    def eof_received(self) -> bool:
        self._finished = True
        other = self.other
        if other is None or other._finished or not other.transport.can_write_eof():
            return False
        other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.input.block()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.input.unblock()

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None and self._tunnel is not None:
            self.other.transport.close()  # what was received is still delivered
            self._tunnel.on_end_lost()


class Tunnel(ManagedConnection):
    """The two ends, and how long they last."""

    __slots__ = ("_down", "_ends", "_registry", "_tls", "_up", "_upstream", "lifetime")

    def __init__(
        self,
        registry: ConnectionRegistry,
        client: asyncio.Transport,
        readable: Readable,
        upstream: UpgradedConnection,
        lifetime: TunnelLifetime,
    ) -> None:
        super().__init__()
        self._registry = registry
        self._tls = readable if isinstance(readable, TlsReader) else None
        self._upstream = upstream
        self.lifetime = lifetime
        self._ends = 2
        turns, server = registry.ticker.turns, upstream.detach()
        self._down = _End(self, turns, client, readable)
        self._up = _End(self, turns, server, server if upstream.tls is None else upstream.tls)
        self._down.other, self._up.other = self._up, self._down

    def start(self, from_client: bytes, from_upstream: bytes, snapshot: Snapshot) -> None:
        """Copy bytes from now on, beginning with those that either side sent behind its head.

        `snapshot` is the one that allowed the request: if its token was purged since, or a reload denies it, it ends.
        """
        down, up = self._down.transport, self._up.transport
        for end, other, first in ((self._down, up, from_client), (self._up, down, from_upstream)):
            set_protocol(end.transport, end)
            end.input.unblock()
            if first:
                other.write(first)
        if self.lifetime.is_over_at_start(snapshot):
            self.abort()

    @property
    def memory(self) -> int:
        down, up = self._down.transport, self._up.transport
        encrypted = 0 if self._tls is None else TLS + self._tls.unread
        return IDLE + encrypted + down.get_write_buffer_size() + up.get_write_buffer_size()

    def sweep(self, now: float, wall: float) -> None:
        """End it if it is idle for too long or outlasts its token, without waiting for bytes not yet delivered."""
        if self.lifetime.is_over(now, wall):
            self.abort()

    def renew(self) -> bool:
        """End it if the newest snapshot denies it; return that it need not be asked again."""
        if self.lifetime.is_denied():
            self.abort()
        return True

    def revoke(self, purge: Purge) -> None:
        if self.lifetime.is_ended_by(purge):
            self.abort()

    def abort(self) -> None:
        """End both sides at once."""
        self._down.transport.abort()
        self._up.transport.abort()

    def on_end_lost(self) -> None:
        """Leave the registry and the pool after the second end."""
        self._ends -= 1
        if not self._ends:
            self._registry.leave(self)
            self._upstream.forget()
            self._down.release()
            self._up.release()
