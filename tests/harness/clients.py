"""A client on h11, an HTTP/1.1 that is not ours: one connection, one request after the other, each step by itself."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import h11

from harness.configs import TOKEN
from harness.upstreams import Headers, LeftError, encoded, next_event


@dataclass
class Answer:
    """A whole answer, with what came before its head and after its body."""

    status: int
    reason: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list[h11.InformationalResponse] = field(default_factory=list)

    def values(self, name: str) -> list[bytes]:
        """Return the values of one field."""
        return [value for found, value in self.fields if found.lower() == name.lower().encode()]


class Client:
    """A connection to the enforcer; `old` makes its requests HTTP/1.0. `host` and `token` are what they carry."""

    def __init__(
        self,
        port: int,
        *,
        token: str | None = TOKEN,
        old: bool = False,
        tls: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        receive_buffer: int | None = None,
        patience: float = 10.0,
    ) -> None:
        self.socket: socket.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patience)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost", session=session)
        self.token = token
        self._old = old
        self._wire = h11.Connection(h11.CLIENT)
        self.host = f"localhost:{port}"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    # The request

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes | None = None) -> Answer:
        """Send a whole request, and read its whole answer."""
        if body is not None:
            headers = [*headers, ("Content-Length", str(len(body)))]
        self.begin(method, target, headers)
        if body:
            self.send(body)
        self.end()
        return self.answer()

    def begin(self, method: str, target: str, headers: Headers = ()) -> None:
        """Send a request's head."""
        data = self._wire.send(h11.Request(method=method, target=target, headers=self._fields(headers)))
        assert data is not None
        self.socket.sendall(data.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1) if self._old else data)

    def send(self, data: bytes) -> None:
        """Send a piece of the request's body."""
        self._write(h11.Data(data=data))

    def end(self, trailers: Headers = ()) -> None:
        """End the request."""
        self._write(h11.EndOfMessage(headers=encoded(trailers)))

    def _write(self, event: h11.Event) -> None:
        if data := self._wire.send(event):
            self.socket.sendall(data)

    def _fields(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        token = [("Authorization", f"Bearer {self.token}")] if self.token else []
        return encoded([("Host", self.host), *token, *headers])

    # The answer

    def interim(self) -> h11.InformationalResponse:
        """Read the next interim answer."""
        event = next_event(self._wire, self.socket)
        assert isinstance(event, h11.InformationalResponse), event
        return event

    def head(self) -> Answer:
        """Read the next answer's head, and what comes before it."""
        interim = []
        while isinstance(event := next_event(self._wire, self.socket), h11.InformationalResponse):
            interim.append(event)
        assert isinstance(event, h11.Response), event
        return Answer(event.status_code, event.reason, list(event.headers.raw_items()), interim=interim)

    def pieces(self) -> Iterator[bytes]:
        """Give the pieces of the answer's body as they come."""
        while isinstance(event := next_event(self._wire, self.socket), h11.Data):
            yield bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)
        self._trailers = list(event.headers.raw_items())
        if self._wire.our_state is self._wire.their_state is h11.DONE:
            self._wire.start_next_cycle()

    def answer(self) -> Answer:
        """Read the next answer whole; raises LeftError where it is cut short."""
        answer = self.head()
        answer.body = b"".join(self.pieces())
        answer.trailers = self._trailers
        return answer

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return self._wire.our_state is h11.IDLE

    @property
    def rest(self) -> bytes:
        """What has come behind an answer that switched protocols, or behind the last one of a connection."""
        return bytes(self._wire.trailing_data[0])

    def closed(self) -> bool:
        """Tell whether the enforcer closes the connection, with nothing more said."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


def pipelined(
    port: int, requests: Sequence[tuple[str, str, bytes | None]], *, token: str = TOKEN, patience: float = 10.0
) -> list[Answer]:
    """Send requests (method, target, body) at once, and return the whole answers that come before the close."""
    answers: list[Answer] = []
    with Client(port, token=token, patience=patience) as client:
        wires = [h11.Connection(h11.CLIENT) for _ in requests]
        sent = b""
        for wire, (method, target, body) in zip(wires, requests, strict=True):
            length = [] if body is None else [("Content-Length", str(len(body)))]
            request = h11.Request(method=method, target=target, headers=client._fields(length))
            sent += wire.send(request) or b""
            sent += (wire.send(h11.Data(data=body)) or b"") if body else b""
            sent += wire.send(h11.EndOfMessage()) or b""
        client.socket.sendall(sent)
        rest = b""
        for wire in wires:
            client._wire = wire
            if rest:
                wire.receive_data(rest)
            try:
                answers.append(client.answer())
            except LeftError:
                break
            rest = bytes(client.rest)
    return answers
