"""A connection of a client: reads one request at a time, and writes its response.

1. A request is accepted or refused by its head; before that, nothing of its body is kept.
2. A body must have a Content-Length, and its memory is taken from the peer's share before it is received.
3. Every state has a deadline. After that of a response, the client gets 503.
4. A refused connection is closed a little later, so that its client can read the response first. A client that the
   application has refused cannot send more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final, Protocol

import httptools

from enforcer.kubernetes.webhook.serving.limits import Limits
from enforcer.shares import Holder, Shares
from enforcer.wire.turns import Readable

_log = logging.getLogger("enforcer.webhook")

_LINGER: Final = 2.0
"""Seconds for a client to read a refusal: closing earlier would reset the connection if it still sends."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request: `path` is the request target without the query, `peer` the address of the client."""

    method: str
    path: str
    peer: str


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `retry` adds `Retry-After`, for which API servers wait and repeat the request."""

    status: HTTPStatus
    body: bytes = b""
    media_type: str = "text/plain"
    retry: bool = False


class Application(Protocol):
    """The application, as a connection needs it."""

    def refusal(self, head: Head) -> Response | None:
        """Return the response to a request that is refused by its head; None if it is accepted."""

    async def respond(self, head: Head, body: bytearray) -> Response:
        """Return the response to an accepted request."""


class State(Enum):
    """The states of a connection."""

    HEAD = "head"
    """It waits for a request, or receives its head."""
    BODY = "body"
    RESPONDING = "responding"
    CLOSING = "closing"


class Connection(asyncio.Protocol):
    """A connection; `accepted` becomes whether it had an accepted request, `closed` is done at its end.

    `readable` is what its reading is paused with: the transport, or what gives TLS its input. `refused` is
    called with the status of each refusal and the peer.
    """

    _transport: asyncio.Transport
    _parser: httptools.HttpRequestParser
    _head: Head
    _target: bytes
    _length: int | None
    """The declared length of the body; None for a body without one."""

    def __init__(
        self, peer: str, application: Application, shares: Shares, limits: Limits, refused: Callable[[int, str], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[bool] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.state = State.HEAD
        self._loop = loop
        self._peer = peer
        self._application = application
        self._shares = shares
        self._limits = limits
        self._refused = refused
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._body = bytearray()
        self._holder: Holder | None = None
        self._taken = 0
        self._stopping = False
        self.readable: Readable | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.readable = self.readable or self._transport
        self._wait_for_head()

    def connection_lost(self, error: Exception | None) -> None:
        self.state = State.CLOSING
        self._disarm()
        if self._task is not None:
            self._task.cancel()
        self._release()
        if not self.accepted.done():
            self.accepted.set_result(False)
        self.closed.set_result(None)

    def pause_writing(self) -> None:
        # A client that does not read its responses must not cause further ones.
        if self.readable is not None:
            self.readable.pause_reading()

    def resume_writing(self) -> None:
        if self.state is not State.CLOSING and self.readable is not None:
            self.readable.resume_reading()

    def data_received(self, data: bytes) -> None:
        while data and self.state in (State.HEAD, State.BODY):
            size = self._limits.head - self._head_size if self.state is State.HEAD else len(data)
            part, data = data[:size], data[size:]
            self._head_size += len(part)
            try:
                self._parser.feed_data(part)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                self._refuse(Response(HTTPStatus.BAD_REQUEST))
            if self.state is State.HEAD and self._head_size >= self._limits.head:
                self._refuse(Response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
        if data and self.state is State.RESPONDING:
            self.on_message_begin()

    def stop(self) -> None:
        """Close the connection once it has no running request."""
        self._stopping = True
        if self.state is State.HEAD:
            self._close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self.state is State.RESPONDING:
            # No API server pipelines requests.
            self._refuse(Response(HTTPStatus.BAD_REQUEST))

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # The parser accepts only one Content-Length, of digits, and none beside Transfer-Encoding.
        if name.lower() == b"content-length":
            self._length = int(value)
        elif name.lower() == b"transfer-encoding":
            self._length = None

    def on_headers_complete(self) -> None:
        if self.state is not State.HEAD:
            return
        path = self._target.partition(b"?")[0].decode("latin-1")
        self._head = Head(self._parser.get_method().decode("ascii"), path, self._peer)
        if refusal := self._application.refusal(self._head):
            self._refuse(refusal)
            return
        if refusal := self._refuse_length():
            self._refuse(refusal, discard=True)
            return
        self._keeps_alive = self._parser.should_keep_alive()
        if not self.accepted.done():
            self.accepted.set_result(True)
        self.state = State.BODY
        self._arm(self._limits.body_seconds)

    def _refuse_length(self) -> Response | None:
        length = self._length
        if length is None:
            return Response(HTTPStatus.LENGTH_REQUIRED)
        if length > self._limits.body:
            return Response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if length:
            self._holder = self._shares.take(self._peer, length)
            if self._holder is None:
                return Response(HTTPStatus.SERVICE_UNAVAILABLE, retry=True)
            self._taken = length
        return None

    def on_body(self, body: bytes) -> None:
        if self.state is State.BODY:
            self._body += body

    def on_message_complete(self) -> None:
        if self.state is State.BODY:
            self.state = State.RESPONDING
            self._disarm()
            self._task = self._loop.create_task(self._respond())

    # Responses

    async def _respond(self) -> None:
        try:
            async with asyncio.timeout(self._limits.response_seconds):
                response = await self._application.respond(self._head, self._body)
        except TimeoutError:
            response = Response(HTTPStatus.SERVICE_UNAVAILABLE, retry=True)
            self._refused(response.status, self._peer)
        except Exception:  # noqa: BLE001 - the client gets a response, and the next request its chance
            _log.exception("a request failed")
            response = Response(HTTPStatus.INTERNAL_SERVER_ERROR)
        finally:
            self._task = None
            self._release()
        closes = self._stopping or not self._keeps_alive
        self._write(response, closes=closes)
        if closes:
            self._close()
        else:
            self._wait_for_head()

    def _refuse(self, response: Response, *, discard: bool = False) -> None:
        """Write a refusal; the connection closes a little later. `discard` reads on, for clients that write first."""
        if self.state is State.CLOSING:
            return
        self.state = State.CLOSING
        if self._task is not None:
            self._task.cancel()
        self._release()
        self._refused(response.status, self._peer)
        self._write(response, closes=True)
        if not discard and self.readable is not None:
            self.readable.pause_reading()
        self._arm(_LINGER)

    def _write(self, response: Response, *, closes: bool) -> None:
        fields = {"Content-Type": response.media_type, "Content-Length": len(response.body)}
        if response.retry:
            fields["Retry-After"] = 1
        if closes:
            fields["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        line = f"HTTP/1.1 {response.status.value} {response.status.phrase}\r\n"
        self._transport.write(f"{line}{lines}\r\n".encode("ascii") + response.body)

    # Times

    def _wait_for_head(self) -> None:
        self.state = State.HEAD
        self._parser = httptools.HttpRequestParser(self)
        self._head_size = 0
        self._target = b""
        self._length = 0
        self._arm(self._limits.idle_seconds)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self._loop.call_later(seconds, self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        if self.state is State.BODY:
            self._refuse(Response(HTTPStatus.REQUEST_TIMEOUT))
        else:
            self._transport.abort()

    def _close(self) -> None:
        self.state = State.CLOSING
        self._transport.close()
        # A client that reads nothing would keep the rest of the response in memory.
        self._arm(self._limits.body_seconds)

    def _release(self) -> None:
        """Give the memory of the body back."""
        self._body = bytearray()
        if self._holder is not None:
            self._shares.give_back(self._holder, self._taken)
            self._holder = None
