"""A tunnel of one stream: bytes of an upgraded connection to an app are copied to and from its DATA (RFC 8441 §5).

It has the rules of `proxy.tunnels.tunnel`: whole delivery, half-closed sides, the idle timeout, the token's end. But
its connection to the client carries other streams too.
"""

from __future__ import annotations

from typing import Protocol

from enforcer.proxy.messages.responses import Refusal
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot
from enforcer.proxy.tunnels.tunnel_lifetime import TunnelLifetime
from enforcer.tokens.purge import Purge
from enforcer.wire.carrier import UpgradedConnection
from enforcer.wire.sockets.plaintext import set_protocol
from enforcer.wire.turns import STEP, PacedInput, Readable


class TunnelStream(Protocol):
    """The members of a stream that its tunnel uses."""

    def write(self, data: bytes) -> None:
        """Send bytes as soon as the client has room for them."""

    def end(self, trailers: list[bytes]) -> None:
        """End the stream behind everything that was written."""

    def update_flow_control(self) -> None:
        """Let the client send as much as the tunnel takes: `tunnel.blocked` has changed."""

    def on_tunnel_end(self, tunnel: StreamTunnel) -> None:
        """End behind everything that was written: the upstream connection is closed."""

    def cancel(self) -> None:
        """Reset the stream."""


class StreamTunnel:
    """The upstream's end, an asyncio.Protocol by its methods. Its stream calls it like the exchange that it was.

    `blocked`: the upstream takes no more bytes for now. `client` is the key of the client, in whose turn they are read.
    """

    __slots__ = (
        "_client_ended", "_input", "_lifetime", "_registry", "_stream", "_transport", "_upstream", "_upstream_ended",
        "blocked", "client",
    )  # fmt: skip

    def __init__(
        self,
        registry: ConnectionRegistry,
        stream: TunnelStream,
        upstream: UpgradedConnection,
        lifetime: TunnelLifetime,
        client: str | None,
    ) -> None:
        self._registry = registry
        self._stream: TunnelStream | None = stream
        self._upstream = upstream
        self._lifetime = lifetime
        self._client_ended = self._upstream_ended = False
        self._transport = transport = upstream.detach()
        readable: Readable = transport if upstream.tls is None else upstream.tls
        self._input = PacedInput(registry.ticker.turns, readable, self)
        self.blocked = False
        self.client = client

    def start(self, first: bytes, snapshot: Snapshot) -> None:
        """Copy bytes from now on; `first` came behind the upstream's head, `snapshot` is the request's."""
        set_protocol(self._transport, self)
        self._input.unblock()
        if first:
            self._write(first)
        if self._lifetime.is_over_at_start(snapshot):
            self.abort()

    def abort(self) -> None:
        """End both sides at once."""
        self._transport.abort()
        if self._stream is not None:
            self._stream.cancel()

    def _write(self, data: bytes) -> None:
        self._lifetime.active = True
        if self._stream is not None:
            self._stream.write(data)

    # asyncio.Protocol of the upstream connection, and the reader of its input

    def connection_made(self, transport: object) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        self._write(data)
        if len(data) > STEP:
            self._input.wait(len(data))

    def on_input(self, data: bytes) -> None:
        """Do nothing: no input is held here."""

    def on_turn_end(self) -> None:
        """Do nothing: everything is passed on at once."""

    def eof_received(self) -> bool:
        self._upstream_ended = True
        if self._client_ended or self._stream is None:
            return False
        self._stream.end([])
        return True

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        if self._stream is not None:
            self._stream.update_flow_control()

    def connection_lost(self, error: Exception | None) -> None:
        self._input.close()
        self._upstream.forget()
        stream, self._stream = self._stream, None  # it refers to this object
        if stream is not None:
            stream.on_tunnel_end(self)

    # Called by the stream, with the names that an exchange has

    @property
    def memory(self) -> int:
        """Bytes that the upstream has not read yet."""
        return self._transport.get_write_buffer_size()

    def on_request_body(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._lifetime.active = True
        self._transport.write(data)

    def on_request_end(self, trailers: list[bytes]) -> None:
        """Take the end of the client's side; the upstream may still send."""
        self._client_ended = True
        if self._upstream_ended or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def on_client_full(self) -> None:
        """Pause the upstream: the client reads too slowly."""
        self._input.block()

    def on_client_drained(self) -> None:
        """Resume the upstream: the client has read."""
        self._input.unblock()

    def on_client_gone(self) -> None:
        """End the upstream connection: the stream has ended."""
        self._stream = None
        self._transport.abort()

    def on_client_stalled(self) -> None:
        """End both sides."""
        self.abort()

    def on_unreadable(self, refusal: Refusal) -> None:
        """End the upstream connection: the stream is about to be reset, since a frame on it is malformed."""
        self.on_client_gone()

    def end_if_not_valid(self, now: float) -> None:
        """End it if it is idle for too long or outlasts its token; `now` is wall-clock time."""
        if self._lifetime.is_over(self._registry.ticker.next, now):
            self.abort()

    def renew(self) -> bool:
        """End it if the newest snapshot denies it; return that it need not be asked again."""
        if self._lifetime.is_denied():
            self.abort()
        return True

    def revoke(self, purge: Purge) -> None:
        """End it if a purge covers its token."""
        if self._lifetime.is_ended_by(purge):
            self.abort()
