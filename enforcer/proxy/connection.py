"""The protocol class under the server's sockets: one connection of a client, its bytes in, requests to their exchanges.

1. Requests of a connection are answered in their order; a later one waits, parsed, and not many do.
2. What cannot be parsed in one way ends the connection: what came before is answered, no byte after it is read.
3. A field costs one look-up; all else about it was prepared at load.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httptools

from enforcer.proxy import refusals
from enforcer.proxy.exchange import Exchange
from enforcer.proxy.forwarding import Kind
from enforcer.proxy.refusals import Refusal
from enforcer.proxy.request import RequestHead, complete, unreadable

if TYPE_CHECKING:
    from enforcer.proxy.gateway import Gateway

_log = logging.getLogger("enforcer.proxy")

_NEVER: Final = float("inf")
# An enum's member is found by calling Python code, which is too much for every field.
_HOST: Final = int(Kind.HOST)
_AUTHORIZATION: Final = int(Kind.AUTHORIZATION)
_CHAIN: Final = int(Kind.CHAIN)
_RESET: Final = struct.pack("ii", 1, 0)


class ClientConnection(asyncio.Protocol):
    """One connection of a client."""

    __slots__ = (
        "_body_came",
        "_body_since",
        "_body_size",
        "_chain",
        "_chain_host",
        "_continuing",
        "_deaf",
        "_exchange",
        "_full",
        "_head_size",
        "_kinds",
        "_large",
        "_lingering",
        "_parser",
        "_peer",
        "_queue",
        "_reading",
        "_receiving",
        "_request",
        "_scheme",
        "_snapshot",
        "_stash",
        "_trusted",
        "_unread",
        "_upgrading",
        "closing",
        "deadline",
        "gateway",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._parser: Any = httptools.HttpRequestParser(self)
        self._exchange: Exchange | None = None  # the one that is being answered
        self._receiving: Exchange | None = None  # the one whose body is being read
        self._queue: deque[Exchange] = deque()
        self._reading = True
        self._deaf = False  # no byte is read any more
        self._lingering = False
        self._full = False  # the client reads slower than it is written to
        self._unread = _NEVER  # when a client that reads nothing is cut
        self._upgrading = False
        self._continuing = False
        self._stash: bytes | None = None  # what came behind a request for an upgrade
        self._large = False
        self._chain = b""
        self._chain_host: bytes | None = None
        self._head_size = 0
        self._body_since = 0.0
        self._body_size = 0
        self._body_came = False
        self.closing = False
        self.deadline = _NEVER
        self._reset()

    def _reset(self) -> None:
        self._snapshot = snapshot = self.gateway.snapshot
        self._kinds = snapshot.forwarding.kinds
        self._request = RequestHead(snapshot)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        gateway = self.gateway
        self._peer = _address(transport)
        self._scheme = "https" if transport.get_extra_info("ssl_object") is not None else "http"
        self._trusted = self._snapshot.forwarding.trusts(self._peer)
        if len(gateway.connections) >= self._snapshot.limits.connections:
            self._deaf = True
            self.transport.write(refusals.OVERLOADED.render(gateway.date, close=True, head_only=False))
            if len(gateway.refused) < self._snapshot.limits.connections:
                gateway.refused.add(self)
                self._linger()
            else:
                self.transport.close()
            return
        gateway.connections.add(self)
        self.deadline = gateway.ticker.next + self._snapshot.timeouts.head

    def connection_lost(self, error: Exception | None) -> None:
        self._parser = None  # it holds this object's methods: without this, only the garbage collector frees both
        self._deaf = True
        self.gateway.connections.discard(self)
        self.gateway.refused.discard(self)
        exchange, self._exchange, self._receiving = self._exchange, None, None
        self._queue.clear()
        if exchange is not None:
            exchange.on_client_gone()

    def eof_received(self) -> None:
        # A client that closes and one that only stops sending look the same: both are taken to have left.
        self._deaf = True
        if self._exchange is not None:
            self.abort()
        else:
            self._end()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._stash is not None:
            self._stash += data
            return
        self._large = len(data) > self._snapshot.limits.head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_after_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._on_parser_error(error)
        else:
            if self._request.target:
                self._on_partial_head(len(data))
            elif self._receiving is not None:
                self._on_partial_body(self._receiving, len(data))

    def pause_writing(self) -> None:
        self._full = True
        self._unread = self.gateway.ticker.next + self._snapshot.timeouts.body
        if self._exchange is not None:
            self._exchange.on_client_full()

    def resume_writing(self) -> None:
        self._full = False
        if not self.transport.is_closing():
            self._unread = _NEVER
        if self._exchange is not None:
            self._exchange.on_client_drained()
        elif self._queue:
            self._begin_next()

    # httptools

    def on_url(self, part: bytes) -> None:
        self._request.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        kind = self._kinds[name]
        request = self._request
        if not kind:
            request.lines += (name, b": ", value, b"\r\n")
        elif kind == _HOST:
            request.host = value.rstrip()
            request.hosts += 1
            request.lines += (name, b": ", value, b"\r\n")
        elif kind == _AUTHORIZATION:
            request.authorization = value
            request.authorizations += 1
            if self._snapshot.forwarding.pass_authorization:
                request.lines += (name, b": ", value, b"\r\n")
        else:
            if request.rare is None:
                request.rare = {}
            request.rare.setdefault(kind, []).append((name, value))

    def on_headers_complete(self) -> None:
        request = self._request
        self._reset()
        if self._continuing or self._deaf:
            return
        parser = self._parser
        request.method = parser.get_method()
        request.keep_alive = parser.should_keep_alive()
        if (
            request.rare is not None
            or not request.keep_alive
            or request.hosts != 1
            or request.host != self._chain_host
        ):
            self._complete(request)
        else:
            # No Connection field and a connection that stays: HTTP/1.1, without a body, from the host seen before.
            request.chain = self._chain
        limits = request.snapshot.limits
        if len(request.target) > limits.target:
            request.refusal = refusals.TARGET_TOO_LONG
        elif len(request.lines) > limits.fields * 4:
            request.refusal = refusals.HEAD_TOO_LARGE
        elif self._large or self._head_size:
            self._head_size = 0
            if request.size > limits.head:
                request.refusal = refusals.HEAD_TOO_LARGE
        self.deadline = _NEVER
        exchange = Exchange(self, request)
        self._receiving = exchange
        if self._exchange is None and not self._full:
            self._exchange = exchange
            exchange.begin()
        else:
            self._enqueue(exchange)

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._body_came = True
            self._receiving.on_request_body(data)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return  # llhttp ends such a message with its head; see _go_on_after_upgrade
        receiving = self._receiving
        if receiving is None:
            return
        self._receiving = None
        trailers = self._request.lines
        if not receiving.received:
            self._reset()  # what a trailer section said is nothing to the next request
            self._head_size = 0
            self.deadline = _NEVER
        if not receiving.keeps_alive:
            self._deaf = True
        receiving.on_request_end(trailers)

    # What an exchange calls

    def on_exchange_end(self, exchange: Exchange) -> None:
        """Go on to the next request, or close."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        if exchange.close:
            self._close(exchange)
            return
        if self._queue:
            if not self._full:
                self._begin_next()
        elif self.closing:
            self._end()
            return
        else:
            timeouts = self._snapshot.timeouts
            self.deadline = self.gateway.ticker.next + (timeouts.head if self._request.target else timeouts.keep_alive)
        if self._stash is not None:
            stash, self._stash = self._stash, None
            if stash:
                self.data_received(stash)
        if not self._reading:
            self.regulate()

    def address(self, request: RequestHead) -> str:
        """Return the client's address: the peer's, or what a trusted peer says that its own peer's is."""
        if self._trusted and request.rare is not None:
            chain = [value for name, value in request.rare.get(_CHAIN, ()) if name.lower() == b"x-forwarded-for"]
            return self._snapshot.forwarding.client_address(self._peer, chain)
        return self._peer

    def is_answering(self, exchange: Exchange) -> bool:
        """Tell whether it is this exchange's turn."""
        return self._exchange is exchange

    def regulate(self) -> None:
        """Read from the client only what there is room for."""
        receiving = self._receiving
        wanted = not self._queue and self._stash is None and (receiving is None or not receiving.blocked)
        if wanted == self._reading or self.transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self.transport.resume_reading()
            if receiving is not None:
                self.start_body_clock()
        else:
            self.transport.pause_reading()
            self.deadline = _NEVER  # it is not the client that is slow

    def start_body_clock(self) -> None:
        """Measure from now how the body comes."""
        self._body_size = 0
        self._body_since = self.gateway.ticker.next
        self.deadline = self._body_since + self._snapshot.timeouts.body

    def abort(self) -> None:
        """End the connection so that nothing looks like the end of an answer: a close would, to HTTP/1.0."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def take_over(self) -> bytes:
        """Give the transport away to a tunnel; returns what the client sent behind its request."""
        self._exchange = self._receiving = None
        self._parser = None
        self._deaf = True
        self.gateway.connections.discard(self)
        return self._stash or b""

    # What the gateway and the server call

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._exchange is not None

    def sweep(self, now: float, wall: float) -> None:
        """Look at the deadlines."""
        if self._unread <= now:
            self.abort()
        elif self.deadline <= now:
            self.deadline = _NEVER
            if self._exchange is not None:
                self._exchange.on_stalled()
            elif self._request.target and not self._deaf:
                self._refuse(refusals.TIMEOUT)
            else:
                self._end()
        elif self._exchange is not None:
            self._exchange.end_if_token_ended(wall)

    def shutdown(self) -> None:
        """Close when what is under way has been answered."""
        self.closing = True
        if self._exchange is None and not self._queue and not self._lingering:
            self._end()

    # Ends and odd cases

    def _begin_next(self) -> None:
        self._exchange = following = self._queue.popleft()
        following.begin()
        if not self._reading:
            self.regulate()

    def _complete(self, request: RequestHead) -> None:
        self._body_size = 0
        self._upgrading = self._parser.should_upgrade()
        complete(request, self._parser.get_http_version(), self._upgrading)
        forwarding = request.snapshot.forwarding
        if self._trusted and request.rare is not None and Kind.CHAIN in request.rare:
            received: dict[bytes, list[bytes]] = {}
            for name, value in request.rare[Kind.CHAIN]:
                received.setdefault(name.lower(), []).append(value)
            request.chain = forwarding.chain(self._peer, self._scheme, request.host, received)
            return
        request.chain = forwarding.chain(self._peer, self._scheme, request.host, {})
        if request.refusal is None:
            self._chain = request.chain
            self._chain_host = request.host

    def _enqueue(self, exchange: Exchange) -> None:
        if len(self._queue) < self._snapshot.limits.pipelined:
            self._queue.append(exchange)
        else:
            # RFC 9112 §9.3.2: requests that a closed connection left unanswered may be sent again
            self._queue[-1].close = True
            self._queue[-1].received = False  # more is on its way, and must not cost the client its answers
            self._receiving = None
            self._deaf = True
        self.regulate()

    def _go_on_after_upgrade(self, rest: bytes) -> None:
        """llhttp stops behind a head that asks for an upgrade, body or not; whether one is made is not its business."""
        self._upgrading = False
        exchange = self._receiving
        if self._deaf:
            return
        self._parser = httptools.HttpRequestParser(self)
        if exchange is None:
            pass  # CONNECT, whole with its head; no rule allows it
        elif exchange.has_body:
            self._continuing = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % exchange.framing)
            self._continuing = False
        else:
            self._receiving = None
            if not exchange.keeps_alive:
                self._deaf = True
            exchange.on_request_end([])
            if exchange.awaits_upgrade:
                self._stash = rest
                self.regulate()
                return
        if rest:
            self.data_received(rest)

    def _on_partial_head(self, size: int) -> None:
        limits = self._snapshot.limits
        if not self._head_size:
            self._head_size = self._request.size
            if self._exchange is None:
                self.deadline = self.gateway.ticker.next + self._snapshot.timeouts.head
        else:
            self._head_size += size
        if len(self._request.target) > limits.target:
            self._refuse(refusals.TARGET_TOO_LONG)
        elif self._head_size > limits.head:
            self._refuse(refusals.HEAD_TOO_LARGE)

    def _on_partial_body(self, receiving: Exchange, size: int) -> None:
        if not self._reading:
            return
        if self._body_came or not self._body_size:
            self._body_came = False
            self._head_size = 0
        else:
            # Nothing but framing or trailers, which hold a request's memory and time as a head does.
            self._head_size += size
            if self._head_size > self._snapshot.limits.head:
                self._refuse(refusals.HEAD_TOO_LARGE)
                return
        if not self._body_size:
            self.start_body_clock()
        self._body_size += size
        if receiving.awaits_asking:
            self.deadline = _NEVER
            return
        timeout = self._snapshot.timeouts.body
        on_average = self._body_since + timeout + self._body_size / self._snapshot.limits.body_rate
        self.deadline = min(self.gateway.ticker.next + timeout, on_average)

    def _on_parser_error(self, error: httptools.HttpParserError) -> None:
        if self._deaf:
            return
        if isinstance(error, httptools.HttpParserCallbackError):
            _log.error("internal error", exc_info=error.__context__)
            refusal = refusals.INTERNAL
        elif isinstance(error, httptools.HttpParserInvalidMethodError):
            refusal = refusals.malformed("request line: unknown method", 501)
        elif not self._receiving and len(self._request.target) > self._snapshot.limits.target:
            refusal = refusals.TARGET_TOO_LONG
        else:
            refusal = refusals.malformed("not HTTP/1.1 as RFC 9112 has it")
        self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be read, in its turn, and read no further."""
        self._deaf = True
        receiving, self._receiving = self._receiving, None
        if receiving is not None:
            # The head was good and the body is not.
            receiving.on_unreadable(refusal)
            return
        exchange = Exchange(self, unreadable(self._snapshot, refusal))
        exchange.received = False  # more may be on its way, and must not cost the client its answer
        if self._exchange is None:
            self._exchange = exchange
            exchange.begin()
        else:
            self._queue.append(exchange)

    def _close(self, exchange: Exchange) -> None:
        """Close behind an answer."""
        self._queue.clear()
        self._receiving = None
        self._deaf = True
        if exchange.received:
            self._end()
        else:
            self._linger()

    def _linger(self) -> None:
        """Close in stages (RFC 9112 §9.6), lest a reset destroy the answer before the client has read it."""
        if not self.transport.can_write_eof():
            self._end()
            return
        self._lingering = True
        self.deadline = self.gateway.ticker.next + self._snapshot.timeouts.linger
        self.transport.write_eof()
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def _end(self) -> None:
        """Close when all that was written has been sent, and wait for that no longer than for a body."""
        self._unread = self.gateway.ticker.next + self._snapshot.timeouts.body
        self.transport.close()


def _address(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else "unknown"
