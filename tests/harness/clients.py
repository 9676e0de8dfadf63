"""A client on h11, an independent HTTP/1.1 implementation: one connection, each step of an exchange a method."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import h11

from harness.configs import TOKEN
from harness.upstreams import Headers, PeerClosedError, encode_fields, next_event
from harness.waiting import TIMEOUT


@dataclass
class Response:
    """A complete response, with the interim responses before it and the trailer fields after it."""

    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list[h11.InformationalResponse] = field(default_factory=list)

    def values(self, name: str) -> list[bytes]:
        """Return the values of all fields with this name."""
        return [value for field_name, value in self.fields if field_name.lower() == name.lower().encode()]


class Client:
    """A connection to the enforcer; requests carry `host` and `token`, and are HTTP/1.0 with `http10`."""

    def __init__(
        self,
        port: int,
        *,
        token: str | None = TOKEN,
        http10: bool = False,
        tls: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        receive_buffer: int | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self.socket: socket.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost", session=session)
        self.token = token
        self._http10 = http10
        self._wire = h11.Connection(h11.CLIENT)
        self.host = f"localhost:{port}"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    # The request

    def request(self, method: str, target: str, headers: Headers = (), body: bytes | None = None) -> Response:
        """Send a complete request, and return the complete response."""
        if body is not None:
            headers = [*headers, ("Content-Length", str(len(body)))]
        self.begin(method, target, headers)
        if body:
            self.send(body)
        self.end()
        return self.read_response()

    def begin(self, method: str, target: str, headers: Headers = ()) -> None:
        """Send a request's head."""
        data = self._wire.send(h11.Request(method=method, target=target, headers=self._fields(headers)))
        assert data is not None
        self.socket.sendall(data.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1) if self._http10 else data)

    def send(self, data: bytes) -> None:
        """Send a piece of the request's body."""
        self._write(h11.Data(data=data))

    def end(self, trailers: Headers = ()) -> None:
        """End the request."""
        self._write(h11.EndOfMessage(headers=encode_fields(trailers)))

    def _write(self, event: h11.Event) -> None:
        if data := self._wire.send(event):
            self.socket.sendall(data)

    def _fields(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        token = [("Authorization", f"Bearer {self.token}")] if self.token else []
        return encode_fields([("Host", self.host), *token, *headers])

    # The response

    def read_interim(self) -> h11.InformationalResponse:
        """Return the next interim response."""
        event = next_event(self._wire, self.socket)
        assert isinstance(event, h11.InformationalResponse), event
        return event

    def read_head(self) -> Response:
        """Read up to the end of the next response's head, with the interim responses before it."""
        interim = []
        while isinstance(event := next_event(self._wire, self.socket), h11.InformationalResponse):
            interim.append(event)
        assert isinstance(event, h11.Response), event
        return Response(event.status_code, event.reason, list(event.headers.raw_items()), interim=interim)

    def pieces(self) -> Iterator[bytes]:
        """Yield the pieces of the response body as they arrive."""
        while isinstance(event := next_event(self._wire, self.socket), h11.Data):
            yield bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)
        self._trailers = list(event.headers.raw_items())
        if self._wire.our_state is self._wire.their_state is h11.DONE:
            self._wire.start_next_cycle()

    def read_response(self) -> Response:
        """Return the next response; raises PeerClosedError if it is cut short."""
        response = self.read_head()
        response.body = b"".join(self.pieces())
        response.trailers = self._trailers
        return response

    @property
    def reusable(self) -> bool:
        """True if the connection may carry another request."""
        return self._wire.our_state is h11.IDLE

    @property
    def unread(self) -> bytes:
        """Bytes received after a 101 response, or after the last response of the connection."""
        return bytes(self._wire.trailing_data[0])

    def closed(self) -> bool:
        """Wait for the next byte; return whether the enforcer closed the connection instead of sending one."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


def pipelined(
    port: int,
    requests: Sequence[tuple[str, str, bytes | None]],
    *,
    token: str = TOKEN,
    timeout: float = TIMEOUT,
    on_sent: Callable[[], object] | None = None,
) -> list[Response]:
    """Send requests (method, target, body) at once; return the complete responses received before the close.

    `on_sent` is called when all of them are written.
    """
    responses: list[Response] = []
    with Client(port, token=token, timeout=timeout) as client:
        wires = [h11.Connection(h11.CLIENT) for _ in requests]
        sent = b""
        for wire, (method, target, body) in zip(wires, requests, strict=True):
            length = [] if body is None else [("Content-Length", str(len(body)))]
            request = h11.Request(method=method, target=target, headers=client._fields(length))
            sent += wire.send(request) or b""
            sent += (wire.send(h11.Data(data=body)) or b"") if body else b""
            sent += wire.send(h11.EndOfMessage()) or b""
        client.socket.sendall(sent)
        if on_sent is not None:
            on_sent()
        rest = b""
        for wire in wires:
            client._wire = wire
            if rest:
                wire.receive_data(rest)
            try:
                responses.append(client.read_response())
            except PeerClosedError:
                break
            rest = bytes(client.unread)
    return responses
