"""Servers on raw sockets that record each request as received: one thread per connection, nothing normalised."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO
from urllib.parse import parse_qs

from harness.ports import hold
from harness.waiting import TIMEOUT

Respond = Callable[[bytes, bytes], bytes | None]


_PROBE = re.compile(rb"token=[A-Za-z0-9_-]{43}&.*")
"""The body of the request with which the enforcer tries an authorization server, with a token that it makes up."""


class Server:
    """A server on a free port of loopback; `respond` gets each request's head and body, and returns the raw response.

    `requests` holds every complete request in order, `trailers` their trailer sections, and `heads` every head,
    whether or not its body was complete. If `respond` returns None, the connection is closed without a response;
    `close_after_response` closes it after each response.
    """

    def __init__(self, respond: Respond, tls: ssl.SSLContext | None = None) -> None:
        self.respond = respond
        self._tls = tls
        self.heads: list[bytes] = []
        self.trailers: list[bytes] = []
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.close_after_response = False
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._held: socket.socket | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def lookups(self) -> list[tuple[bytes, bytes]]:
        """The requests without probes, one of which follows the first response after ten seconds."""
        return [(head, body) for head, body in self.requests if _PROBE.fullmatch(body) is None]

    @property
    def open(self) -> int:
        """The number of open connections."""
        with self._lock:
            return len(self._open)

    def close(self) -> None:
        """Stop listening, and cut all connections; the port stays reserved until `release`."""
        if self._socket.fileno() < 0:
            return
        # Without shutdown, the thread that is blocked in accept keeps the port open.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._held = hold(self.port)
        with self._lock:
            for connection in self._open:
                # close() is not enough: the thread that reads from the connection keeps it open.
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Let the port of the closed server go."""
        if self._held is not None:
            self._held.close()

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
                    response = self.respond(head, body)
                    if response is None:
                        return
                    connection.sendall(response)
                    if self.close_after_response:
                        return
        except (OSError, ValueError):
            return
        finally:
            with self._lock:
                self._open.discard(connection)


def _read_head(stream: BinaryIO) -> bytes:
    lines = []
    while line := stream.readline():
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


def _read_body(head: bytes, stream: BinaryIO) -> tuple[bytes, bytes]:
    fields = {name.lower(): value for name, value in parse_fields(head)}
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        body = trailers = b""
        while size := int(stream.readline().split(b";")[0], 16):
            body += stream.read(size)
            stream.readline()
        while (line := stream.readline()) not in (b"\r\n", b""):
            trailers += line
        return body, trailers
    return stream.read(int(fields.get(b"content-length", b"0"))), b""


def parse_fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return the names and values of a head's fields, in the order sent."""
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return [(name, value.strip()) for name, _, value in pairs]


def response(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """Write a response with a Content-Length field."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def raw_server(respond: Respond, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server until the block ends."""
    server = Server(respond, tls)
    try:
        yield server
    finally:
        server.close()
        server.release()


@contextmanager
def echo_server() -> Iterator[Server]:
    """Run an upstream that responds with the head and body that it received."""
    with raw_server(lambda head, body: response(head + body, "200 OK", "Content-Type: text/plain")) as server:
        yield server


@contextmanager
def introspection_server(tokens: Mapping[str, Mapping[str, object]]) -> Iterator[Server]:
    """Run an introspection endpoint for which `tokens` are active, with these claims, and no other token is."""

    def respond(head: bytes, body: bytes) -> bytes:
        form = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True)
        claims = tokens.get(form["token"][0]) if len(form["token"]) == 1 else None
        members = {"active": False} if claims is None else {"active": True, **claims}
        return response(json.dumps(members).encode(), "200 OK", "Content-Type: application/json")

    with raw_server(respond) as server:
        yield server


def send_raw(port: int, data: bytes, timeout: float = TIMEOUT) -> bytes:
    """Send raw bytes on a new connection, and return the response as `read_response` does."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(data)
        return read_response(connection)


def read_response(connection: socket.socket) -> bytes:
    """Return one response that has a Content-Length, or all bytes until the connection closes."""
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
