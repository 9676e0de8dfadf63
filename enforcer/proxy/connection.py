"""The client connection: bytes from the client become exchanges, one after the other.

1. Requests of a connection are answered in their order. The next one waits parsed, those behind it as bytes.
2. Bytes that cannot be parsed in exactly one way end the connection: what came before them is answered, and no byte
   after them is read.
3. Over the limit of connections, a connection is answered at once and closed.
4. A request begins at once if it came by itself. If more came in the same read, they begin in turns (`wire.turns`).

`ReadState` names the states of the input (`proxy.states.read_state` has the events that change it). Whether the
transport is paused is not a state of its own: `update_flow_control` derives it from the exchanges, and `PacedInput`
from the input that it holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Final

import httptools

from enforcer.proxy.accepted import AcceptedConnection
from enforcer.proxy.client_transport import NEVER, BodyDeadline, ClientTransport
from enforcer.proxy.door import PROXY, Door
from enforcer.proxy.exchange import Exchange
from enforcer.proxy.grant import Grant
from enforcer.proxy.messages import responses
from enforcer.proxy.messages.head import HeadBuilder, unreadable
from enforcer.proxy.messages.request_parser import behind_preface, is_http2, new_parser
from enforcer.proxy.messages.response_writer import Http1Writer
from enforcer.proxy.messages.responses import Refusal
from enforcer.proxy.registry import ConnectionRegistry, ManagedConnection
from enforcer.proxy.snapshot import Snapshot
from enforcer.proxy.states.read_state import ReadState
from enforcer.proxy.tunnels.tunnel import Tunnel
from enforcer.proxy.tunnels.tunnel_lifetime import TunnelLifetime
from enforcer.tokens.purge import Purge
from enforcer.wire.carrier import UpgradedConnection
from enforcer.wire.sockets.plaintext import set_protocol
from enforcer.wire.sockets.tls_reader import TlsReader
from enforcer.wire.turns import LARGE, PIECES, PacedInput, Readable

_log: Final = logging.getLogger("enforcer.proxy")

_START: Final = ReadState.START
_HEAD: Final = ReadState.HEAD
_BODY: Final = ReadState.BODY
_UPGRADING: Final = ReadState.UPGRADING
_RESUMING: Final = ReadState.RESUMING
_HOLDING: Final = ReadState.HOLDING
_CLOSED: Final = ReadState.CLOSED

_BOUNDARY: Final = b"\r\n\r\n"
"""The end of every head and of every chunked body, so that a step of the input has at most one of them."""

_SMALL: Final = 4096
"""Maximum number of bytes of a read that is processed at once."""


class ClientConnection(AcceptedConnection):
    """One client connection, an asyncio.Protocol by its methods: with that as its base it would compile to slower code.

    It is the `Downstream` of its exchanges. `closing`: the next response announces the end of the connection, and then
    it ends.
    """

    __slots__ = (
        "_body", "_body_deadline", "_builder", "_exchange", "_fragmented", "_head_size", "_oversize", "_parser",
        "_queue", "_receiving", "_snapshot", "_stopping", "_writer", "closing", "read_state",
    )  # fmt: skip

    _writer: Http1Writer

    def __init__(self, registry: ConnectionRegistry, tls: TlsReader | None = None, door: Door = PROXY) -> None:
        super().__init__(registry, tls, door)
        self._snapshot: Snapshot = registry.snapshot
        self._builder = HeadBuilder(self._snapshot.forwarding)
        self._parser: Any = self._new_parser()
        self._exchange: Exchange | None = None  # the one that is being answered
        self._receiving: Exchange | None = None  # the one whose body is being read
        self._queue: deque[Exchange] = deque()
        self._body: list[bytes] = []  # the pieces of this turn
        self._fragmented = False  # the last turn's body came in many pieces
        self._oversize = False  # one step is larger than a head may be
        self._head_size = 0  # of a head that came in several reads
        self._body_deadline = BodyDeadline()
        self._stopping = False  # it ends when no request is under way
        self.closing = False
        self.read_state = _START

    def _new_parser(self) -> Any:
        return new_parser(self._builder, self.on_headers_complete, self.on_body, self.on_message_complete)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._io = ClientTransport(self.transport)
        self._writer = Http1Writer(self.transport)
        readable: Readable = self.transport if self._tls is None else self._tls
        self._input = PacedInput(self._registry.ticker.turns, readable, self, _BOUNDARY)
        self.peer = self._door.peer(transport, self._snapshot.forwarding)
        registry, self.client = self._registry, self.peer.key
        if not registry.admit(self, self.client):
            self.read_state = _CLOSED
            self.transport.write(responses.OVERLOADED.render(registry.date, close=True, head_only=False))
            if registry.admit_refused(self, self.client):
                self._linger()
            else:
                self.transport.close()
            return
        self.closing = registry.draining
        self.deadline = registry.ticker.next + self._snapshot.timeouts.head

    def connection_lost(self, error: Exception | None) -> None:
        self._parser = None  # it holds this object's methods: without this, only the garbage collector frees both
        self._input.close()
        self.read_state = _CLOSED
        self._registry.leave(self)
        exchange, self._exchange, self._receiving = self._exchange, None, None
        self._queue.clear()
        if exchange is not None:
            exchange.on_client_gone()

    def eof_received(self) -> None:
        # A client that closes and one that only stops sending look the same: both are taken to have left.
        self.read_state = _CLOSED
        if self._exchange is not None:
            self.abort()
        else:
            self._close()

    def data_received(self, data: bytes) -> None:
        """Process a small read at once: a head, the beginning of a body, or both."""
        pace = self._input
        if len(data) > _SMALL or self._fragmented or pace.waiting:
            if self.read_state is not _CLOSED:
                pace.add(data)
            elif len(data) >= LARGE:
                pace.wait(len(data))
            return
        self._registry.ticker.turns.activity += 1
        # Several times as fast as `find`, whose arguments are parsed, and as `in`, which tries an integer first
        if not data.partition(_BOUNDARY)[2]:
            self.on_input(data)
        else:
            self.on_input(pace.begin(data))
            self._go_on(pace)
        if self._body:
            self.on_turn_end()

    def _go_on(self, pace: PacedInput) -> None:
        """Process the beginning of the body behind a head; what is behind that waits for a turn."""
        if self.read_state is _BODY and pace.waiting and not pace.blocked:
            self.on_input(pace.next_step())
        if pace.waiting:
            pace.wait()

    def on_input(self, data: bytes) -> None:
        """Parse the next step."""
        if self.read_state is _CLOSED:
            self._input.discard()
            return
        self._oversize = len(data) > self._snapshot.limits.head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._on_parser_stopped(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self.read_state is _START and self._snapshot.http2 and is_http2(error):
                self._become_http2(behind_preface(data))
            else:
                self._on_parser_error(error)
        else:
            if self._builder.target:
                self._on_partial_head(len(data))
            elif self._receiving is not None:
                self._on_partial_body(self._receiving, len(data))

    def on_turn_end(self) -> None:
        """Pass on the pieces of the body that have come."""
        body = self._body
        self._fragmented = len(body) > PIECES
        if not body:
            return
        self._body = []
        if self._receiving is not None:
            try:
                self._receiving.on_request_body(body[0] if len(body) == 1 else b"".join(body))
            except Exception:  # noqa: BLE001 - it must not go on with a part of the body missing
                _log.exception("internal error")
                self._refuse(responses.INTERNAL)

    def pause_writing(self) -> None:
        self._io.on_full(self._read_time())
        if self._exchange is not None:
            self._exchange.on_client_full()
        self._registry.count_memory(self)

    def resume_writing(self) -> None:
        self._io.on_drained()
        if self._exchange is not None:
            self._exchange.on_client_drained()
        elif self._queue:
            self._begin_next()

    # The parser's events

    def on_headers_complete(self) -> None:
        """Make an exchange of the head, and begin it if it is its turn."""
        builder, snapshot = self._builder, self._snapshot
        if self.read_state is not _HEAD and self.read_state is not _START:
            self._start_head()
            return
        parser, limits = self._parser, snapshot.limits
        method, keep_alive = parser.get_method(), parser.should_keep_alive()
        oversize = self._oversize or self._head_size > 0
        self._head_size = 0
        head = builder.build(method, keep_alive, limits, oversize)
        self.read_state = _BODY
        if head is None:
            if upgrades := parser.should_upgrade():
                self.read_state = _UPGRADING
            head = builder.build_special(method, keep_alive, limits, oversize, parser.get_http_version(), upgrades)
            self.start_body_deadline()
        self._snapshot = newest = self._registry.snapshot
        builder.start(newest.forwarding)
        exchange = self._door.exchange(self, self._writer, self._registry, self.peer, head, snapshot)
        self._receiving = exchange
        self.deadline = NEVER
        if self._exchange is None and not self._io.full:
            self._exchange = exchange
            exchange.begin()
        else:
            self._queue.append(exchange)
            self.update_flow_control()

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body, which is passed on at the end of the turn."""
        self._body_deadline.data += len(data)
        self._body.append(data)

    def on_message_complete(self) -> None:
        """End the request."""
        if self.read_state is not _BODY:
            return  # behind a head that asks for an upgrade: see _on_parser_stopped
        if self._body:
            self.on_turn_end()
        receiving = self._receiving
        if receiving is None:
            return
        self._receiving = None
        self.read_state = _HEAD if receiving.head.keep_alive else _CLOSED
        trailers = self._builder.lines
        if not receiving.request_complete:
            self._start_head()  # the trailer section does not belong to the next request
            self._head_size = 0
            self.deadline = NEVER
        if receiving.head.has_body:
            receiving.on_request_end(trailers)
            if receiving.awaits_upgrade:
                self._hold_input()

    # Called by an exchange

    @property
    def has_queued(self) -> bool:
        """Whether a request waits for the response to the one before, or bytes that may be one."""
        return bool(self._queue) or (self._input.waiting and self.read_state is not _CLOSED)

    def on_exchange_end(self, exchange: Exchange) -> None:
        """Go on to the next request, or close."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        if exchange.closes:
            self._close_after(exchange)
            return
        if self._queue:
            if not self._io.full:
                self._begin_next()
        elif self._stopping and not self.has_queued:
            self._close()
            return
        else:
            timeouts = self._snapshot.timeouts
            timeout = timeouts.head if self._builder.target else timeouts.keep_alive
            self.deadline = self._registry.ticker.next + timeout
        # `busy`, because mypyc takes `_exchange` for None still, though the next exchange may have begun.
        if self.read_state is _HOLDING and not self.busy and not self._queue:
            self.read_state = _HEAD
        if self._input.blocked:
            self.update_flow_control()

    def update_flow_control(self) -> None:
        """Read from the client only what there is room for."""
        receiving = self._receiving
        ready = not self._queue and self.read_state is not _HOLDING and (receiving is None or not receiving.blocked)
        if ready != self._input.blocked or self.transport.is_closing():
            return
        if ready:
            self._input.unblock()
            if receiving is not None:
                self.start_body_deadline()
        else:
            self._input.block()
            self.deadline = NEVER  # it is not the client that is slow

    def start_body_deadline(self) -> None:
        self.deadline = self._body_deadline.start(self._registry.ticker.next, self._snapshot.timeouts)

    def become_tunnel(self, upstream: UpgradedConnection, first: bytes, grant: Grant, snapshot: Snapshot) -> None:
        """Give the transport to a tunnel, with what the client sent behind its request."""
        registry = self._registry
        lifetime = TunnelLifetime(registry, grant, snapshot.timeouts.tunnel)
        tunnel = Tunnel(registry, self.transport, self._input.transport, upstream, lifetime)
        tunnel.start(self._hand_over(tunnel), first, snapshot)

    def _become_http2(self, data: bytes) -> None:
        """Give the transport to a connection that speaks HTTP/2, whose preface has come; `data` is behind it."""
        # The library that it needs is imported by the first connection.
        from enforcer.proxy.http2.connection import Http2Connection

        session = Http2Connection(self._registry, self._tls, self._door)
        behind = self._hand_over(session)
        set_protocol(self.transport, session)
        session.take_over(self.transport, self._input.transport, self.peer, data + behind)

    def _hand_over(self, successor: ManagedConnection) -> bytes:
        """Let a successor have the transport; return the input that was not processed."""
        self._exchange = self._receiving = None
        self._parser = None
        self.read_state = _CLOSED
        self._registry.replace(self, successor)
        behind = self._input.take()
        self._input.close()
        return behind

    # Called by the registry and the server

    @property
    def busy(self) -> bool:
        return self._exchange is not None

    @property
    def memory(self) -> int:
        size = self._own_memory()
        if self._builder.target or self._builder.lines:
            size += self._builder.size
        return size + sum(exchange.memory for exchange in (self._exchange, *self._queue) if exchange is not None)

    @property
    def idle(self) -> bool:
        """Whether no request is being read or answered."""
        return self._exchange is None and not self.has_queued and not self._builder.target

    def sweep(self, now: float, wall: float) -> None:
        if self._io.check_reader(now, self._read_time()):
            return
        if self.deadline <= now and not self._input.waiting:
            self.deadline = NEVER
            if self._exchange is not None:
                self._exchange.on_client_stalled()
            elif self._builder.target and self.read_state is not _CLOSED:
                self._refuse(responses.TIMEOUT)
            else:
                self._close()
        elif self._exchange is not None:
            self._exchange.end_if_not_valid(wall)

    def drain(self) -> None:
        self.closing = True

    def shutdown(self) -> None:
        """Close once the requests that have arrived are answered."""
        self.closing = self._stopping = True
        if not self.idle or self._io.lingering:
            return
        if self._io.has_input() or (self._tls is not None and self._tls.waiting):
            # Most likely a request, whose sender could not know.
            self.deadline = self._registry.ticker.next + self._snapshot.timeouts.head
        else:
            self._close()

    def renew(self) -> bool:
        """Use the newest snapshot for the requests to come; return whether nothing of an older one is left."""
        snapshot = self._registry.snapshot
        self.peer.use(snapshot.forwarding)
        if self._snapshot is not snapshot and not self._builder.size:
            self._start_head()  # nothing was read yet of the next head, nor of a trailer section
        exchanges = (self._exchange, self._receiving, *self._queue)
        behind = [exchange for exchange in exchanges if exchange is not None and not exchange.renew()]
        return not behind and self._snapshot is snapshot

    def revoke(self, purge: Purge) -> None:
        if self._exchange is not None:
            self._exchange.revoke(purge)

    # Heads

    def _start_head(self) -> None:
        self._snapshot = snapshot = self._registry.snapshot
        self._builder.start(snapshot.forwarding)

    def _begin_next(self) -> None:
        self._exchange = following = self._queue.popleft()
        following.begin()
        if self._input.blocked:
            self.update_flow_control()

    def _on_parser_stopped(self, rest: bytes) -> None:
        """Go on with the bytes behind a head that asks for an upgrade, body or not: llhttp stops there."""
        exchange = self._receiving
        if self.read_state is _CLOSED:
            return
        self._input.put_back(rest)
        self._parser = self._new_parser()
        if exchange is None:
            self.read_state = _HEAD  # CONNECT, which ends with its head and which no rule allows
        elif exchange.head.has_body:
            self.read_state = _RESUMING
            framing = exchange.head.framing.partition(b"\r\n")[0]  # the lines behind it ask for the upgrade again
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
            self.read_state = _BODY
        else:
            self._receiving = None
            self.read_state = _HEAD if exchange.head.keep_alive else _CLOSED
            exchange.on_request_end([])
            if exchange.awaits_upgrade:
                self._hold_input()

    def _hold_input(self) -> None:
        self.read_state = _HOLDING
        self.update_flow_control()

    # Limits and errors

    def _on_partial_head(self, size: int) -> None:
        if self.read_state is _CLOSED:
            return  # behind the last request: its response must not be followed by another, nor its end be put off
        limits = self._snapshot.limits
        if not self._head_size:
            self._head_size = self._builder.size
            if self._exchange is None:
                self.deadline = self._registry.ticker.next + self._snapshot.timeouts.head
        else:
            self._head_size += size
        if len(self._builder.target) > limits.target:
            self._refuse(responses.TARGET_TOO_LONG)
        elif self._head_size > limits.head:
            self._refuse(responses.HEAD_TOO_LARGE)

    def _on_partial_body(self, receiving: Exchange, size: int) -> None:
        if self._input.blocked or self.read_state is _CLOSED:
            return
        snapshot = self._snapshot
        deadline = self._body_deadline.on_read(size, self._registry.ticker.next, snapshot.limits, snapshot.timeouts)
        if deadline is None:
            self._refuse(responses.HEAD_TOO_LARGE)
        else:
            self.deadline = NEVER if receiving.expects_continue else deadline

    def _on_parser_error(self, error: httptools.HttpParserError) -> None:
        if self.read_state is _CLOSED:
            return
        if isinstance(error, httptools.HttpParserCallbackError):
            _log.error("internal error", exc_info=error.__context__)
        in_target = self._receiving is None and len(self._builder.target) > self._snapshot.limits.target
        self._refuse(responses.unparsable(error, target_too_long=in_target))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be read, in its turn, and read no further."""
        self.read_state = _CLOSED
        receiving, self._receiving = self._receiving, None
        if receiving is not None:
            receiving.on_unreadable(refusal)  # the head was valid, and the body is not
            return
        head = unreadable(refusal)
        exchange = self._door.exchange(self, self._writer, self._registry, self.peer, head, self._snapshot)
        exchange.cut_input()  # more may be on its way, and must not cost the client its response
        if self._exchange is None and not self._queue:
            self._exchange = exchange
            exchange.begin()
        else:
            self._queue.append(exchange)

    # Ends

    def _close_after(self, exchange: Exchange) -> None:
        """Close behind a response."""
        self._queue.clear()
        self._receiving = None
        self.read_state = _CLOSED
        if exchange.request_complete:
            self._close()
        else:
            self._linger()
