"""An upstream on h11, an independent HTTP/1.1 implementation: one thread per connection, and a handler function.

Responses that break the rules of HTTP bypass h11: `Incoming.send_raw`.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import h11

from harness.waiting import TIMEOUT

Headers = Sequence[tuple[str, str]]
Handler = Callable[["Incoming"], None]
_READ = 65536


class Incoming:
    """A request that reached the upstream, with methods to read its body and to respond."""

    def __init__(self, upstream: Upstream, connection: socket.socket, wire: h11.Connection, request: h11.Request):
        self.upstream = upstream
        self.socket = connection
        self.wire = wire
        self.request = request
        self.trailers: list[tuple[bytes, bytes]] = []

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The request's header fields, in the order and spelling received."""
        return list(self.request.headers.raw_items())

    def values(self, name: str) -> list[bytes]:
        """Return the values of all fields with this name."""
        return [value for field_name, value in self.request.headers if field_name == name.lower().encode()]

    # The request's body

    def pieces(self) -> Iterator[bytes]:
        """Yield the pieces of the body as they arrive."""
        while True:
            event = next_event(self.wire, self.socket)
            if isinstance(event, h11.EndOfMessage):
                self.trailers = list(event.headers.raw_items())
                return
            assert isinstance(event, h11.Data)
            yield bytes(event.data)

    def body(self) -> bytes:
        """Read and return the body."""
        return b"".join(self.pieces())

    # The response

    def send_interim(self, status: int, headers: Headers = ()) -> None:
        """Send an interim response."""
        self._send(h11.InformationalResponse(status_code=status, headers=encode_fields(headers)))

    def send_head(self, status: int = 200, headers: Headers = ()) -> None:
        """Send the head of the response."""
        self._send(h11.Response(status_code=status, headers=encode_fields(headers)))

    def send(self, data: bytes) -> None:
        """Send a piece of the response body."""
        self._send(h11.Data(data=data))

    def end(self, trailers: Headers = ()) -> None:
        """End the response."""
        self._send(h11.EndOfMessage(headers=encode_fields(trailers)))

    def respond(self, body: bytes = b"", status: int = 200, headers: Headers = ()) -> None:
        """Read the rest of the request, then send a complete response in one write."""
        if self.wire.their_state is h11.SEND_BODY:
            self.body()
        length = ("Content-Length", str(len(body)))
        events = (
            h11.Response(status_code=status, headers=encode_fields([*headers, length])),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        self.socket.sendall(b"".join(self.wire.send(event) or b"" for event in events))

    def send_raw(self, data: bytes) -> None:
        """Send bytes that h11 would refuse; the connection is closed after the handler returns."""
        self.socket.sendall(data)

    def wait_for_close(self, timeout: float = TIMEOUT) -> bool:
        """Return whether the enforcer closes the connection within `timeout` seconds."""
        self.socket.settimeout(timeout)
        try:
            while self.socket.recv(_READ):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def _send(self, event: h11.Event) -> None:
        data = self.wire.send(event)
        if data:
            self.socket.sendall(data)


class Upstream:
    """A server on a free port, or on `listener`; `handler` responds to each request, and may be replaced any time."""

    def __init__(self, listener: socket.socket | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.handler: Handler = Incoming.respond
        self.connections = 0
        self.requests: list[h11.Request] = []
        self.server_names: list[str | None] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The URL for the configuration."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """The number of open connections."""
        with self._lock:
            return len(self._open)

    def disconnect(self) -> None:
        """Cut all connections, and keep listening."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # it may be closed already
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening, and cut all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.disconnect()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            connection = plain if self._tls is None else self._tls.wrap_socket(plain, server_side=True)
        except OSError:
            self._closed(plain, plain)
            return
        if connection is not plain:
            with self._lock:
                self._open.discard(plain)
                self._open.add(connection)
        try:
            wire = h11.Connection(h11.SERVER)
            while isinstance(request := next_event(wire, connection), h11.Request):
                with self._lock:
                    self.requests.append(request)
                self.handler(Incoming(self, connection, wire, request))
                if wire.their_state is h11.SEND_BODY:
                    return
                if wire.their_state is not h11.DONE:
                    next_event(wire, connection)
                wire.start_next_cycle()
        except (OSError, h11.ProtocolError, PeerClosedError):
            return
        finally:
            self._closed(connection, plain)

    def _closed(self, connection: socket.socket, plain: socket.socket) -> None:
        with self._lock:
            self._open.discard(plain)
            self._open.discard(connection)
            connection.close()


class PeerClosedError(Exception):
    """The peer closed the connection before its message was complete."""


def next_event(wire: h11.Connection, connection: socket.socket) -> h11.Event:
    """Read until the next event, and return it; raises PeerClosedError if the connection ends first."""
    while True:
        try:
            event = wire.next_event()
        except h11.RemoteProtocolError as error:
            if wire.trailing_data[1]:
                raise PeerClosedError(str(error)) from None
            raise
        if event is h11.NEED_DATA:
            if wire.they_are_waiting_for_100_continue and wire.our_role is h11.SERVER:
                connection.sendall(wire.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            try:
                wire.receive_data(connection.recv(_READ))
            except ConnectionError as error:
                raise PeerClosedError(str(error)) from None
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            raise PeerClosedError(f"no more messages: {event!r}")
        else:
            assert not isinstance(event, type)
            return event


@contextmanager
def upstream(
    handler: Handler = Incoming.respond, listener: socket.socket | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Upstream]:
    """Run an upstream until the block ends."""
    server = Upstream(listener, tls)
    server.handler = handler
    try:
        yield server
    finally:
        server.close()


def encode_fields(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Encode fields as Latin-1, because h11 itself encodes only ASCII."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
