"""A testbed for attacks: an enforcer between an upstream and an authorization server that record what they receive."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from harness.attack_policy import CLAIMS, RULES
from harness.configs import authorization_server, config
from harness.processes import Enforcer, enforcer
from harness.servers import Respond, Server, introspection_server, parse_fields, raw_server, response
from harness.waiting import TIMEOUT

SENTINEL = b"GET /public/sentinel HTTP/1.1\r\nHost: sentinel\r\n\r\n"
"""A harmless request, sent after an attack on the same connection."""

_numbers = count(1)


class _ClaimsByKind(Mapping[str, Mapping[str, object]]):
    """Looks claims up by the part of a token before `~`, so that each attack can use a token that is not cached."""

    def __getitem__(self, token: str) -> Mapping[str, object]:
        return CLAIMS[token.partition("~")[0]]

    def __iter__(self) -> Iterator[str]:
        return iter(CLAIMS)

    def __len__(self) -> int:
        return len(CLAIMS)


def fresh_token(kind: str) -> str:
    """Return an unseen token: one with the claims of that kind in `CLAIMS`, or an inactive one for any other name."""
    return f"{kind}~{next(_numbers)}"


def fresh_client() -> str:
    """Return the loopback address of a client that has sent nothing, so that no earlier response concerns it."""
    number = next(_numbers)
    return f"127.1.{number // 250 % 250}.{number % 250 + 1}"


@dataclass(frozen=True)
class Testbed:
    """The enforcer and the two servers around it."""

    __test__ = False  # not a test class, in spite of its name

    enforcer: Enforcer
    upstream: Server
    authorization: Server


@contextmanager
def run_testbed(
    respond: Respond | None = None, introspect: Respond | None = None, **changes: object
) -> Iterator[Testbed]:
    """Run a testbed; by default the upstream echoes, and the authorization server knows the tokens of `CLAIMS`.

    `respond` makes the upstream's responses, `introspect` those of the authorization server; `changes` are sections of
    the configuration.
    """
    authorization = introspection_server(_ClaimsByKind()) if introspect is None else raw_server(introspect)
    with raw_server(respond or echo) as upstream, authorization as server:
        sections = {"rules": RULES, "authorization_servers": [server_without_breaker(server.port)], **changes}
        with enforcer(config(f"http://127.0.0.1:{upstream.port}", server.port, **sections)) as process:
            yield Testbed(process, upstream, server)


def server_without_breaker(port: int, **changes: object) -> dict[str, object]:
    """Return the settings of an authorization server that is asked for every token, despite earlier failures."""
    return authorization_server(port, **{"breaker": {"failures": 10**6, "max_retry_after": "1ms"}, **changes})


def echo(head: bytes, body: bytes) -> bytes:
    """Respond with the received head and body; without the body if the method is HEAD."""
    message = response(head + body, "200 OK", "Content-Type: text/plain")
    return message.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head.startswith(b"HEAD ") else message


class ResponseReader:
    """Reads the responses on a connection one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def next(self, *, head_only: bool = False) -> tuple[int, bytes, bytes]:
        """Return status, head and body of the next final response; raises EOFError if the connection ends first."""
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
        """Return whether the connection ends without another byte."""
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
            raise EOFError(f"the connection ended after {self._received!r}")
        self._received += data


def connect(port: int, client: str | None = None) -> socket.socket:
    """Open a connection whose operations time out after 20 s; `client` is the loopback address that it comes from."""
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT, None if client is None else (client, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def get(
    testbed: Testbed, target: str, credentials: str | None = None, client: str | None = None
) -> tuple[int, bytes, bytes]:
    """Send a GET request, and return status, head and body of its response."""
    field = f"Authorization: Bearer {credentials}\r\n" if credentials is not None else ""
    with connect(testbed.enforcer.port, client) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: app\r\n{field}\r\n".encode())
        return ResponseReader(connection).next()
