"""Servers whose responses are cut short, endless, slow, huge, or missing."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from harness.servers import response

GOOD: Final = b'{"active": true, "scope": "read", "sub": "reader"}'
_GIBIBYTE: Final = 1024**3


def _send_until_closed(connection: socket.socket, first: bytes, piece: bytes, size: int = _GIBIBYTE) -> None:
    connection.sendall(first)
    for _ in range(size // len(piece)):
        connection.sendall(piece)


def _drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    connection.settimeout(0.02)
    while True:
        connection.sendall(b" ")
        try:
            if not connection.recv(1):
                return
        except TimeoutError:
            continue


def _wait(connection: socket.socket) -> None:
    connection.recv(1)


_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_PIECE = b" " * 65536
_BOMB = gzip.compress(b" " * 40 * 1024**2)

Behaviour = Callable[[socket.socket], None]

MISBEHAVIOURS: dict[str, Behaviour] = {
    "a body of a gibibyte, in chunks": lambda c: _send_until_closed(c, _CHUNKED, b"10000\r\n" + _PIECE + b"\r\n"),
    "a body of a gibibyte, sized": lambda c: _send_until_closed(c, _OK + b"Content-Length: 1073741824\r\n\r\n", _PIECE),
    "a body until the connection ends": lambda c: _send_until_closed(c, _OK + b"\r\n", _PIECE),
    "a field without end": lambda c: _send_until_closed(c, _OK + b"X: ", _PIECE),
    "fields without end": lambda c: _send_until_closed(c, _OK, b"X-Some: yyyyyyyy\r\n" * 1000),
    "interim answers without end": lambda c: _send_until_closed(c, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a reason without end": lambda c: _send_until_closed(c, b"HTTP/1.1 200 ", b"a" * 65536),
    "blank lines without end": lambda c: _send_until_closed(c, b"", b"\r\n" * 30000),
    "a trailer without end": lambda c: _send_until_closed(c, _CHUNKED + b"1\r\n{\r\n0\r\nX: ", b"a" * 65536),
    "trailers without end": lambda c: _send_until_closed(c, _CHUNKED + b"1\r\n{\r\n0\r\n", b"X: yyyyyyyy\r\n" * 4000),
    "a chunk extension without end": lambda c: _send_until_closed(c, _CHUNKED + b"1;", b"a" * 65536),
    "many small chunks": lambda c: _send_until_closed(c, _CHUNKED, b"1\r\n \r\n" * 10000),
    "a bomb": lambda c: c.sendall(_OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB),
    "depth": lambda c: c.sendall(response(b'{"active": true, "scope": "read", "x": ' + b"[" * 60000)),
    "depth that is closed again": lambda c: c.sendall(
        response(b'{"active": true, "scope": "read", "sub": ' + b"[" * 30000 + b"]" * 30000 + b"}")
    ),
    "a number of many digits": lambda c: c.sendall(
        response(b'{"active": true, "scope": "read", "exp": ' + b"9" * 60000 + b"}")
    ),
    "drops": _drip,
    "silence": _wait,
    "nothing": lambda c: None,
    "half an answer": lambda c: c.sendall(_OK + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD[:-1]),
    "half a head": lambda c: c.sendall(_OK + b"Content-Le"),
    "a chunk that is cut": lambda c: c.sendall(_CHUNKED + b"%x\r\n" % len(GOOD) + GOOD[:-1]),
    "chunks without an end": lambda c: c.sendall(_CHUNKED + b"%x\r\n" % len(GOOD) + GOOD + b"\r\n"),
}


@contextmanager
def misbehaving_server(
    number: Callable[[bytes, bytes], int], behaviours: Sequence[Behaviour] = tuple(MISBEHAVIOURS.values())
) -> Iterator[int]:
    """Run a server, and yield its port.

    After each request it performs the behaviour whose index `number` returns for the head and body, and then closes
    the connection.
    """

    def serve(connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                head = b""
                while (line := stream.readline()) != b"\r\n":
                    if not line:
                        return  # the client closed first
                    head += line
                length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
                behaviours[number(head, stream.read(int(length or 0)))](connection)
        except OSError:
            return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
