"""The protocol class under the server's sockets: one connection of a client, its bytes in, requests to their exchanges.

1. Requests of a connection are answered in their order; a later one waits, parsed, and not many do.
2. What cannot be parsed in one way ends the connection: what came before is answered, no byte after it is read.
3. A field costs one look-up; all else about it was prepared at load.
"""

from __future__ import annotations

import asyncio
import logging
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
_DROP: Final = int(Kind.DROP)
_LARGE: Final = 4096  # bytes read at once from which on a head is measured; a smaller one is within any limit


class ClientConnection(asyncio.Protocol):
    """One connection of a client."""

    __slots__ = (
        "_body_since",
        "_body_size",
        "_chain",
        "_chain_host",
        "_continuing",
        "_deaf",
        "_exchange",
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
        self._upgrading = False
        self._continuing = False
        self._stash: bytes | None = None  # what came behind a request for an upgrade
        self._large = False
        self._chain = b""
        self._chain_host = b""
        self._head_size = 0
        self._body_since = 0.0
        self._body_size = 0
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
            self.transport.close()
            return
        gateway.connections.add(self)
        self.deadline = gateway.ticker.next + self._snapshot.timeouts.head

    def connection_lost(self, error: Exception | None) -> None:
        self._parser = None  # it holds this object's methods: without this, only the garbage collector frees both
        self._deaf = True
        self.gateway.connections.discard(self)
        exchange, self._exchange, self._receiving = self._exchange, None, None
        self._queue.clear()
        if exchange is not None:
            exchange.on_client_gone()

    def eof_received(self) -> None:
        # A client that closes and one that only stops sending look the same: both are taken to have left.
        return None

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._stash is not None:
            self._stash += data
            return
        self._large = len(data) > _LARGE
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
                self._on_partial_body(len(data))

    def pause_writing(self) -> None:
        self.deadline = self.gateway.ticker.next + self._snapshot.timeouts.body
        if self._exchange is not None:
            self._exchange.on_client_full()

    def resume_writing(self) -> None:
        self.deadline = _NEVER
        if self._exchange is not None:
            self._exchange.on_client_drained()

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
        elif kind != _DROP:
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
        if self._exchange is None:
            self._exchange = exchange
            exchange.begin()
        else:
            self._enqueue(exchange)

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._receiving.on_request_body(data)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return  # llhttp ends such a message with its head; see _go_on_after_upgrade
        receiving = self._receiving
        if receiving is None:
            return
        self._receiving = None
        trailers = self._request.lines
        if trailers:
            self._reset()
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
            self._exchange = following = self._queue.popleft()
            following.begin()
        elif self.closing:
            self.transport.close()
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
                self._start_body_clock()
        else:
            self.transport.pause_reading()
            self.deadline = _NEVER  # it is not the client that is slow

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
        if self.deadline <= now:
            self.deadline = _NEVER
            if self._exchange is not None:
                self._exchange.on_stalled()
            elif self._request.target and not self._deaf:
                self._refuse(refusals.TIMEOUT)
            else:
                self.transport.close()
        elif self._exchange is not None:
            self._exchange.end_if_token_ended(wall)

    def shutdown(self) -> None:
        """Close when what is under way has been answered."""
        self.closing = True
        if self._exchange is None and not self._lingering:
            self.transport.close()

    # Ends and odd cases

    def _complete(self, request: RequestHead) -> None:
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
            self._receiving = None
            self._deaf = True
        self.regulate()

    def _go_on_after_upgrade(self, rest: bytes) -> None:
        """llhttp stops behind a head that asks for an upgrade, body or not; whether one is made is not its business."""
        self._upgrading = False
        exchange = self._receiving
        if exchange is None or self._deaf:
            return
        self._parser = httptools.HttpRequestParser(self)
        if exchange.has_body:
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

    def _on_partial_body(self, size: int) -> None:
        if not self._reading:
            return
        if not self._body_size:
            self._start_body_clock()
        self._body_size += size
        timeout = self._snapshot.timeouts.body
        on_average = self._body_since + timeout + self._body_size / self._snapshot.limits.body_rate
        self.deadline = min(self.gateway.ticker.next + timeout, on_average)

    def _start_body_clock(self) -> None:
        self._body_size = 0
        self._body_since = self.gateway.ticker.next
        self.deadline = self._body_since + self._snapshot.timeouts.body

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
        exchange.received = True
        if self._exchange is None:
            self._exchange = exchange
            exchange.begin()
        else:
            self._queue.append(exchange)

    def _close(self, exchange: Exchange) -> None:
        """Close behind an answer. RFC 9112 §9.6: in stages, lest a reset destroy the answer before it is read."""
        self._queue.clear()
        self._deaf = True
        if exchange.received or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._lingering = True
        self._receiving = None
        self.deadline = self.gateway.ticker.next + self._snapshot.timeouts.linger
        self.transport.write_eof()
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()


def _address(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else "unknown"
