"""The bed of the attacks: an enforcer between an upstream and an authorization server that tell what reached them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, authorization, parse_fields, response, serving

RULES = [
    {"name": "public", "path": "/public/**", "public": True},
    {"name": "admin", "path": "/admin/**", "scopes": ["admin"]},
    {"name": "read", "path": "/api/**", "methods": ["GET"], "scopes": ["read"]},
    {"name": "write", "path": "/api/**", "methods": ["POST"], "scopes": ["write"]},
]
WORTH: Mapping[str, Mapping[str, object]] = {
    "R": {"scope": "read", "sub": "reader", "client_id": "reading"},
    "W": {"scope": "write", "sub": "writer", "client_id": "writing"},
    "ADM": {"scope": "admin", "sub": "administrator", "client_id": "managing"},
    "N": {"scope": "read"},  # of nobody
    "K": {"scope": "read", "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},  # RFC 9449 §6.1
    "C": {"scope": "read", "cnf": {"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}},  # RFC 8705 appendix A
}
SENTINEL = b"GET /public/sentinel HTTP/1.1\r\nHost: sentinel\r\n\r\n"

_PATIENCE = 10.0
_fresh = count(1)


class Tokens(Mapping[str, Mapping[str, object]]):
    """Tokens by what stands before `~` in them, so that each attack has fresh ones, of which nothing is remembered."""

    def __getitem__(self, token: str) -> Mapping[str, object]:
        return WORTH[token.partition("~")[0]]

    def __iter__(self) -> Iterator[str]:
        return iter(WORTH)

    def __len__(self) -> int:
        return len(WORTH)


def token(worth: str) -> str:
    """Make a fresh token that is worth one of `WORTH`, or, for any other name, nothing."""
    return f"{worth}~{next(_fresh)}"


@dataclass(frozen=True)
class Bed:
    """The enforcer and its two counterparts."""

    enforcer: Enforcer
    upstream: Server
    authorization: Server


@contextmanager
def bed(
    answer: Callable[[bytes, bytes], bytes | None] | None = None,
    introspect: Callable[[bytes, bytes], bytes | None] | None = None,
    **changes: object,
) -> Iterator[Bed]:
    """Lay a bed; `answer` is the upstream's, `introspect` the authorization server's, `changes` the configuration's."""
    asked = authorization(Tokens()) if introspect is None else serving(introspect)
    with serving(answer or echo) as upstream, asked as server:
        changes = {"rules": RULES, "authorization_servers": [asking(server.port)], **changes}
        settings = config(f"http://127.0.0.1:{upstream.port}", server.port, **changes)
        with enforcer(settings) as process:
            yield Bed(process, upstream, server)


def asking(port: int, **changes: object) -> dict[str, object]:
    """Return the settings of an authorization server that is never left alone, however often it fails."""
    return {
        "introspection_endpoint": f"http://127.0.0.1:{port}/introspect",
        "client_id": "enforcer",
        "client_secret": {"env": "ENFORCER_CLIENT_SECRET"},
        "breaker": {"failures": 10**6},
        **changes,
    }


def echo(head: bytes, body: bytes) -> bytes:
    """Answer with what arrived, but for the body where HEAD asks."""
    whole = response(head + body, "200 OK", "Content-Type: text/plain")
    return whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head.startswith(b"HEAD ") else whole


class Answers:
    """Reads the answers of one connection, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def next(self, *, head_only: bool = False) -> tuple[int, bytes, bytes]:
        """Return status, head and body of the next final answer; raises EOFError where none comes."""
        while True:
            while b"\r\n\r\n" not in self._received:
                self._read()
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            status = int(head.split(b" ")[1])
            if status >= 200 or status == 101:
                break
        length = next((int(value) for name, value in parse_fields(head) if name.lower() == b"content-length"), 0)
        if head_only or status in (101, 204, 304):
            length = 0
        while len(self._received) < length:
            self._read()
        body, self._received = self._received[:length], self._received[length:]
        return status, head, body

    def closed(self) -> bool:
        """Tell whether the connection ends here, with nothing more said."""
        try:
            self._read()
        except EOFError:
            return not self._received
        return False

    def _read(self) -> None:
        try:
            data = self._connection.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError(f"the connection ended behind {self._received!r}")
        self._received += data


def connect(port: int) -> socket.socket:
    """Open a connection that waits for nothing too long."""
    connection = socket.create_connection(("127.0.0.1", port), _PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def get(bed: Bed, target: str, credentials: str | None = None) -> tuple[int, bytes, bytes]:
    """Send one GET, and return status, head and body of its answer."""
    line = f"Authorization: Bearer {credentials}\r\n" if credentials is not None else ""
    with connect(bed.enforcer.port) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: app\r\n{line}\r\n".encode())
        return Answers(connection).next()
