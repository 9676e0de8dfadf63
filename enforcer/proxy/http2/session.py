"""The output of one HTTP/2 connection: the frames that its streams send, as fast as the client takes them."""

from __future__ import annotations

from typing import Final

from enforcer.proxy.accepted import AcceptedConnection
from enforcer.proxy.door import Door
from enforcer.proxy.grant import Grant
from enforcer.proxy.http2.stream import Http2Stream
from enforcer.proxy.http2.tunnel import StreamTunnel
from enforcer.proxy.http2.websocket import PROTOCOL
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.tunnels.tunnel_lifetime import TunnelLifetime
from enforcer.settings.limits import Timeouts
from enforcer.wire.carrier import UpgradedConnection
from enforcer.wire.http2.allowance import Allowance
from enforcer.wire.http2.fields import FieldList
from enforcer.wire.http2.state_machine import FRAME, BoundedConnection
from enforcer.wire.sockets.tls_reader import TlsReader

_UNWRITTEN: Final = 64 * 1024
"""Bytes of bodies that are framed before they are written: more would not be noticed by flow control."""
_USEFUL: Final = 256
"""Bytes of a DATA frame that permit the client frames for flow control; smaller ones could be what it asks for
(CVE-2019-9511)."""


class Http2Session(AcceptedConnection):
    """The `Session` of the streams of one connection."""

    __slots__ = ("_control", "_deferred", "_held", "_in_turn", "_machine", "_scheduled", "_streams", "_unwritten")

    def __init__(self, registry: ConnectionRegistry, tls: TlsReader | None, door: Door) -> None:
        super().__init__(registry, tls, door)
        snapshot = registry.snapshot
        limits = snapshot.limits
        self._machine = BoundedConnection(
            client_side=False,
            streams=limits.http2.streams,
            window=limits.http2.window,
            head=limits.head,
            fields=limits.fields,
            tunnels=door.forwards and PROTOCOL in snapshot.forwarding.upgrades,
        )
        self._control = Allowance(limits.http2.control_frames, registry.ticker.next)
        self._streams: dict[int, Http2Stream] = {}
        self._held: dict[int, Http2Stream] = {}  # they wait for room, in this order
        self._unwritten = 0  # bytes of bodies that are framed, and not written
        self._deferred = False  # a stream waits only for these to be written
        self._scheduled = False  # a write is, for when the loop turns next
        self._in_turn = False  # what is sent is written at the end of the turn

    @property
    def now(self) -> float:
        return self._registry.ticker.next

    def room(self, stream: int) -> int:
        if self._io.full:
            return 0
        if self._unwritten >= _UNWRITTEN:
            self._deferred = True
            return 0
        return min(self._machine.local_flow_control_window(stream), FRAME)

    def send_fields(self, stream: int, fields: FieldList, *, ends: bool) -> None:
        self._machine.send_headers(stream, fields, ends)

    def send_data(self, stream: int, data: bytes, *, ends: bool) -> None:
        self._machine.send_data(stream, data, ends)
        self._unwritten += len(data)
        if ends or len(data) >= _USEFUL:
            self._control.earn(2)

    def give_credit(self, stream: int, size: int) -> None:
        self._machine.increment_flow_control_window(size, stream)

    def hold(self, stream: Http2Stream) -> None:
        self._held[stream.id] = stream

    def reset(self, stream: int, code: int) -> None:
        self._machine.reset_stream(stream, code)

    @property
    def is_open(self) -> bool:
        """Whether it is not closed."""
        raise NotImplementedError

    def flush(self) -> None:
        # The responses of other streams may be about to come, and are written at once with this one.
        if not self._in_turn and not self._scheduled:
            self._scheduled = True
            self._registry.ticker.call_soon(self._on_loop_turn)

    def _on_loop_turn(self) -> None:
        self._scheduled = False
        if self.is_open and not self.transport.is_closing():
            self.write()

    def write(self) -> None:
        """Write what was sent, and what streams send now that it is written."""
        self._write()
        while self._deferred and not self._io.full:
            self._deferred = False
            self._send_held()
            self._write()

    def on_stream_end(self, stream: Http2Stream) -> None:
        self._streams.pop(stream.id, None)
        self._held.pop(stream.id, None)

    def _write(self) -> None:
        self._unwritten = 0
        data = self._machine.data_to_send()
        if data:
            self.transport.write(data)

    def _send_held(self) -> None:
        """Let the streams that wait send, each as much as there is room for."""
        for stream in tuple(self._held.values()):
            if self._io.full:
                return
            self._held.pop(stream.id, None)
            stream.send()

    def tunnel(
        self, stream: Http2Stream, upstream: UpgradedConnection, grant: Grant, timeouts: Timeouts
    ) -> StreamTunnel:
        client = None if self.holder is None else self.holder.client
        lifetime = TunnelLifetime(self._registry, grant, timeouts.tunnel)
        return StreamTunnel(self._registry, stream, upstream, lifetime, client)
