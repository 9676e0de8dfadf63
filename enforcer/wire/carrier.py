"""The two sides of an exchange with a server: the carrier takes the request, the receiver gets the response's events.

A carrier is an HTTP/1.1 connection, or a stream of an HTTP/2 connection. Only it knows how a message is framed.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from enforcer.errors import UpstreamError
from enforcer.native import mypyc_attr
from enforcer.shares import Holder
from enforcer.wire.sockets.tls_reader import TlsReader

STREAM_RESET: Final = "the server reset the stream"
"""The beginning of the detail of an `UpstreamError` for RST_STREAM."""


class Carrier:
    """Carries one exchange at a time to a server. `send` begins it, with the head of a request.

    `begun` is when the exchange began, on the loop's clock. `holder` is the client whose share of the pool it counts
    for, None while it is idle, and `streaming` is whether its place is one of a stream; the pool sets both.

    A base class and no Protocol, since its methods are called for every request, and a compiled call costs a tenth.
    """

    __slots__ = ("begun", "holder", "streaming")

    begun: float
    holder: Holder | None
    streaming: bool

    def send(
        self,
        receiver: Receiver,
        head: bytes,
        *,
        head_only: bool = False,
        upgradable: bool = False,
        has_body: bool = False,
        chunked: bool = False,
    ) -> None:
        """Begin an exchange with the head of an HTTP/1.1 request.

        `head_only`: a response to HEAD has no body; `upgradable`: an upgrade was requested; `has_body`: `send_body` and
        `end_body` follow; `chunked`: the body's length is not known.
        """
        raise NotImplementedError

    def send_body(self, data: bytes) -> None:
        """Send a piece of the body, not empty and without framing. May call `receiver.on_full`."""
        raise NotImplementedError

    def end_body(self, trailers: list[bytes]) -> None:
        """End the body, and start the deadline of the response head. `trailers` are field lines in pieces."""
        raise NotImplementedError

    def expect_answer(self) -> None:
        """Start the deadline of the response head: the request was sent, or the server does not read it."""
        raise NotImplementedError

    def await_client(self) -> None:
        """Stop the deadline: the next byte must come from the client, whose own deadlines apply."""
        raise NotImplementedError

    def pause(self) -> None:
        """Take no more of the response until `resume`. The server did not cause the pause, so no deadline runs."""
        raise NotImplementedError

    def resume(self) -> None:
        """Take more of the response."""
        raise NotImplementedError

    @property
    def memory(self) -> int:
        """Bytes that the server has not read yet, and those of a head that is not complete."""
        raise NotImplementedError

    def begin_stream(self) -> bool:
        """Make the exchange a stream, which has a place of its own; return False if there is no room for one."""
        raise NotImplementedError

    @property
    def refusable(self) -> bool:
        """Whether the server may say that it did not process the request, so that any request may be sent again."""
        return False

    def use_no_more(self) -> None:
        """Carry no other exchange: the rest of this exchange's request will not be sent."""
        raise NotImplementedError

    def abandon(self) -> None:
        """End the exchange before it is complete: the server sees the connection close, or the stream reset."""
        raise NotImplementedError


class UpgradedConnection(Protocol):
    """A connection whose server switched protocols. `tls` is what it is read from, if the server speaks TLS."""

    tls: TlsReader | None

    def abandon(self) -> None:
        """Close the connection."""

    def detach(self) -> asyncio.Transport:
        """Hand over the transport; call `forget` when it has ended."""

    def forget(self) -> None:
        """Stop counting the connection: the tunnel that it became has ended."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Receiver:
    """Receives the events of one exchange.

    `lines` are field lines in pieces, ready to be joined: `name`, `b": "`, `value`, `b"\\r\\n"`, and so on, in the
    server's order and spelling, without hop-by-hop fields. `client` is the key of the client (`clients.client_key`)
    that the request is for; empty: it is the enforcer's own.

    A base class and no Protocol, as `Carrier` is. Only tests derive interpreted classes from it.
    """

    __slots__ = ("client",)

    client: str

    def on_connection(self, carrier: Carrier) -> None:
        """A carrier is there, after `Pool.request` returned None: send the request on it."""
        raise NotImplementedError

    def on_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        """An interim response (RFC 9110 §15.2), never 101."""
        raise NotImplementedError

    def on_head(self, status: int, reason: bytes, lines: list[bytes], sized: bool) -> None:
        """The final head. `sized`: the lines have a Content-Length, or no body can follow."""
        raise NotImplementedError

    def on_body(self, data: bytes) -> None:
        """A piece of the body, without framing."""
        raise NotImplementedError

    def on_flush(self) -> None:
        """Everything that has arrived was passed on, and the response is not complete yet."""
        raise NotImplementedError

    def on_complete(self, trailers: list[bytes]) -> None:
        """The response is complete; the carrier is no longer the receiver's."""
        raise NotImplementedError

    def on_upgrade(self, reason: bytes, lines: list[bytes], connection: UpgradedConnection, rest: bytes) -> None:
        """The server switched protocols; `rest` are the bytes after its head. Call `connection.detach()`."""
        raise NotImplementedError

    def on_failure(self, error: UpstreamError, unanswered: bool) -> None:
        """No complete response will come. `unanswered`: a reused connection closed before the response began."""
        raise NotImplementedError

    def on_full(self) -> None:
        """No more of the body can be taken until `on_drained`."""
        raise NotImplementedError

    def on_drained(self) -> None:
        """There is room for more of the body again."""
        raise NotImplementedError
