"""Servers that show what reached them: raw sockets, one thread a connection, nothing normalised."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs


class Server:
    """A server on a free port of loopback; `answer` gets each request's head and body, and returns the raw answer.

    `requests` holds all that arrived whole, in order, `trailers` their trailer sections, and `heads` every head, be its
    body whole or not. An answer of None closes the connection without one; `closes` closes it behind each.
    """

    def __init__(self, answer: Callable[[bytes, bytes], bytes | None], tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self.heads: list[bytes] = []
        self.trailers: list[bytes] = []
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.closes = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def open(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._open)

    def close(self) -> None:
        """Stop listening and break all connections."""
        if self._socket.fileno() < 0:
            return
        # Without the shutdown, a thread that waits in accept keeps the port open.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in self._open:
                # Not only closed: the thread that reads from it holds it open.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                plain, connection = connection, self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open = self._open - {plain} | {connection}
            with connection, connection.makefile("rb") as stream:
                while head := _read_head(stream):
                    with self._lock:
                        self.heads.append(head)
                    body, trailers = _read_body(head, stream)
                    with self._lock:
                        self.requests.append((head, body))
                        self.trailers.append(trailers)
                    answer = self._answer(head, body)
                    if answer is None:
                        return
                    connection.sendall(answer)
                    if self.closes:
                        return
        except (OSError, ValueError):
            return
        finally:
            with self._lock:
                self._open.discard(connection)


def _read_head(stream: object) -> bytes:
    lines = []
    while line := stream.readline():  # type: ignore[attr-defined]
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


def _read_body(head: bytes, stream: object) -> tuple[bytes, bytes]:
    fields = {name.lower(): value for name, value in parse_fields(head)}
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        body = trailers = b""
        while size := int(stream.readline().split(b";")[0], 16):  # type: ignore[attr-defined]
            body += stream.read(size)  # type: ignore[attr-defined]
            stream.readline()  # type: ignore[attr-defined]
        while (line := stream.readline()) not in (b"\r\n", b""):  # type: ignore[attr-defined]
            trailers += line
        return body, trailers
    return stream.read(int(fields.get(b"content-length", b"0"))), b""  # type: ignore[attr-defined]


def parse_fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return the field names and values of a head, as sent."""
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return [(name, value.strip()) for name, _, value in pairs]


def response(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """Write an answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def serving(answer: Callable[[bytes, bytes], bytes | None], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server until the block ends."""
    server = Server(answer, tls)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def echo() -> Iterator[Server]:
    """Run an upstream that answers with the head and body that reached it."""
    with serving(lambda head, body: response(head + body, "200 OK", "Content-Type: text/plain")) as server:
        yield server


@contextmanager
def authorization(tokens: Mapping[str, Mapping[str, object]]) -> Iterator[Server]:
    """Run an introspection endpoint that knows `tokens`, and keeps the calls in `requests`."""

    def answer(head: bytes, body: bytes) -> bytes:
        form = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True)
        known = tokens.get(form["token"][0]) if len(form["token"]) == 1 else None
        members = {"active": False} if known is None else {"active": True, **known}
        return response(json.dumps(members).encode(), "200 OK", "Content-Type: application/json")

    with serving(answer) as server:
        yield server


def exchange(port: int, data: bytes, timeout: float = 10.0) -> bytes:
    """Send raw bytes, and return all that comes back until the connection closes or `Content-Length` is reached."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(data)
        return receive(connection)


def receive(connection: socket.socket) -> bytes:
    """Read one answer with a Content-Length, or all until the connection closes."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        if end:
            fields = {name.lower(): value for name, value in parse_fields(head)}
            length = fields.get(b"content-length")
            if length is not None and len(body) >= int(length):
                return received
        try:
            data = connection.recv(65536)
        except ConnectionError:
            return received
        if not data:
            return received
        received += data
