"""The protocol class under the server's sockets: one connection of a client, its bytes in, requests to their exchanges.

1. Requests of a connection are answered in their order; a later one waits, parsed, and not many do.
2. What cannot be parsed in one way ends the connection: what came before is answered, no byte after it is read.
3. A field costs one look-up; all else about it was prepared at load.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import httptools

from enforcer.proxy import refusals
from enforcer.proxy.client_side import NEVER, ClientSide
from enforcer.proxy.exchange import Exchange
from enforcer.proxy.forwarding import Kind
from enforcer.proxy.lasthop import LastHop
from enforcer.proxy.pace import Pace
from enforcer.proxy.refusals import Refusal
from enforcer.proxy.request import RequestHead, complete, unreadable
from enforcer.proxy.unparsable import refusal_to

if TYPE_CHECKING:
    from enforcer.proxy.gateway import Gateway

# An enum's member is found by calling Python code, which is too much for every field.
_HOST: Final = int(Kind.HOST)
_AUTHORIZATION: Final = int(Kind.AUTHORIZATION)


class ClientConnection(ClientSide):
    """One connection of a client."""

    __slots__ = (
        "_continuing",
        "_exchange",
        "_head_size",
        "_kinds",
        "_large",
        "_pace",
        "_parser",
        "_queue",
        "_receiving",
        "_request",
        "_stash",
        "_upgrading",
    )

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._parser: Any = httptools.HttpRequestParser(self)
        self._exchange: Exchange | None = None  # the one that is being answered
        self._receiving: Exchange | None = None  # the one whose body is being read
        self._queue: deque[Exchange] = deque()
        self._upgrading = False
        self._continuing = False
        self._stash: bytes | None = None  # what came behind a request for an upgrade
        self._large = False
        self._head_size = 0
        self._pace = Pace()
        self._reset()

    def _reset(self) -> None:
        self._snapshot = snapshot = self.gateway.snapshot
        self._kinds = snapshot.forwarding.kinds
        self._request = RequestHead(snapshot)

    # asyncio.Protocol

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
        rest: bytes | memoryview | None = data
        while rest is not None:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._behind_upgrade(memoryview(rest)[upgrade.args[0] :])
                continue
            except httptools.HttpParserError as error:
                self._on_parser_error(error)
            else:
                if self._request.target:
                    self._on_partial_head(len(rest))
                elif self._receiving is not None:
                    self._on_partial_body(self._receiving, len(rest))
            return

    def pause_writing(self) -> None:
        self._full = True
        self._await_reader()
        if self._exchange is not None:
            self._exchange.on_client_full()

    def resume_writing(self) -> None:
        self._full = False
        if not self.transport.is_closing():
            self._unread = NEVER
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
        if request.rare is not None or not request.keep_alive or request.hosts != 1 or request.host != self.peer.host:
            exchange = self._complete(request)
        else:
            # No Connection field and a connection that stays: HTTP/1.1, without a body, from the host seen before.
            request.chain = self.peer.chain
            exchange = Exchange(self, request)
        limits = request.snapshot.limits
        if len(request.target) > limits.target:
            request.refusal = refusals.TARGET_TOO_LONG
        elif len(request.lines) > limits.fields * 4:
            request.refusal = refusals.HEAD_TOO_LARGE
        elif self._large or self._head_size:
            self._head_size = 0
            if request.size > limits.head:
                request.refusal = refusals.HEAD_TOO_LARGE
        self.deadline = NEVER
        self._receiving = exchange
        if self._exchange is None and not self._full:
            self._exchange = exchange
            exchange.begin()
        else:
            self._enqueue(exchange)

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._pace.came = True
            self._receiving.on_request_body(data)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return  # llhttp ends such a message with its head; see _behind_upgrade
        receiving = self._receiving
        if receiving is None:
            return
        self._receiving = None
        trailers = self._request.lines
        if not receiving.received:
            self._reset()  # what a trailer section said is nothing to the next request
            self._head_size = 0
            self.deadline = NEVER
        if not receiving.request.keep_alive:
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
        elif self._last:
            self._end()
            return
        else:
            timeouts = self._snapshot.timeouts
            self.deadline = self.gateway.ticker.next + (timeouts.head if self._request.target else timeouts.keep_alive)
        if self._stash is not None and not self.busy and not self._queue:
            stash, self._stash = self._stash, None
            if stash:
                self.data_received(stash)
        if not self._reading:
            self.regulate()

    @property
    def waits(self) -> bool:
        """Whether a request waits for the answer to the one before."""
        return bool(self._queue)

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
            self.deadline = NEVER  # it is not the client that is slow

    def start_body_clock(self) -> None:
        """Measure from now how the body comes."""
        self.deadline = self._pace.start(self.gateway.ticker.next, self._snapshot.timeouts)

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
        return self._exchange is not None

    def sweep(self, now: float, wall: float) -> None:
        if self._unread <= now:
            self._look_at_reader()
        elif self.deadline <= now:
            self.deadline = NEVER
            if self._exchange is not None:
                self._exchange.on_stalled()
            elif self._request.target and not self._deaf:
                self._refuse(refusals.TIMEOUT)
            else:
                self._end()
        elif self._exchange is not None:
            self._exchange.end_if_token_ended(wall)

    @property
    def pending(self) -> bool:
        return bool(self._exchange is not None or self._queue or self._request.target)

    def renew(self) -> bool:
        snapshot = self.gateway.snapshot
        self.peer.renew(snapshot.forwarding)
        if self._snapshot is not snapshot and not self._request.size:
            self._reset()  # nothing was read yet of the next head, nor of a trailer section
        read = (self._exchange, self._receiving, *self._queue)
        behind = [exchange for exchange in read if exchange is not None and not exchange.renew()]
        return not behind and self._snapshot is snapshot

    # Ends and odd cases

    def _begin_next(self) -> None:
        self._exchange = following = self._queue.popleft()
        following.begin()
        if not self._reading:
            self.regulate()

    def _complete(self, request: RequestHead) -> Exchange:
        self._pace.stop()
        self._upgrading = self._parser.should_upgrade()
        last = complete(request, self._parser.get_http_version(), self._upgrading)
        self.peer.introduce(request)
        return LastHop(self, request) if last else Exchange(self, request)

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

    def _behind_upgrade(self, rest: memoryview) -> memoryview | None:
        """llhttp stops behind a head that asks for an upgrade, body or not; returns what is to be read on."""
        self._upgrading = False
        exchange = self._receiving
        if self._deaf:
            return None
        self._parser = httptools.HttpRequestParser(self)
        if exchange is None:
            pass  # CONNECT, whole with its head; no rule allows it
        elif exchange.request.has_body:
            self._continuing = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % exchange.request.framing)
            self._continuing = False
        else:
            self._receiving = None
            if not exchange.request.keep_alive:
                self._deaf = True
            exchange.on_request_end([])
            if exchange.awaits_upgrade:
                self._stash = bytes(rest)
                self.regulate()
                return None
        return rest if rest and not self._deaf else None

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
        snapshot = self._snapshot
        deadline = self._pace.read(size, self.gateway.ticker.next, snapshot.limits, snapshot.timeouts)
        if deadline is None:
            self._refuse(refusals.HEAD_TOO_LARGE)
        else:
            self.deadline = NEVER if receiving.awaits_asking else deadline

    def _on_parser_error(self, error: httptools.HttpParserError) -> None:
        if not self._deaf:
            too_long = not self._receiving and len(self._request.target) > self._snapshot.limits.target
            self._refuse(refusal_to(error, target_too_long=too_long))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be read, in its turn, and read no further."""
        self._deaf = True
        receiving, self._receiving = self._receiving, None
        if receiving is not None:
            receiving.on_unreadable(refusal)  # the head was good and the body is not
            return
        exchange = Exchange(self, unreadable(self._snapshot, refusal))
        exchange.received = False  # more may be on its way, and must not cost the client its answer
        if self._exchange is None and not self._queue:
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
