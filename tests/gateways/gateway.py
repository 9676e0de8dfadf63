"""The gateways of docs/examples/decision-api: each runs with the shipped configuration, on free ports."""

from __future__ import annotations

import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from harness.configs import config
from harness.ports import listens, unused_ports
from harness.processes import Enforcer, enforcer
from harness.servers import Server, introspection_server
from harness.upstreams import Incoming, Upstream, upstream
from harness.waiting import TIMEOUT, eventually

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "decision-api"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_LISTEN, _ENFORCER, _APP = "8080", "8092", "8090"  # ports of the examples
_COMMANDS = f"{os.environ.get('GATEWAY_COMMANDS', '')}:{os.environ.get('PATH', '')}:/usr/sbin"

TOKENS: Mapping[str, Mapping[str, object]] = {
    "good-token": {"scope": "country.read", "sub": "alice", "client_id": "walker"},
    "other-token": {"scope": "nothing", "sub": "bob"},
}
RULES: list[dict[str, Any]] = [
    {"name": "public", "path": "/public/**", "public": True},
    {"name": "admin", "path": "/admin/**", "scopes": ["admin"]},
    {"name": "read", "path": "/read/**", "methods": ["GET"], "scopes": ["country.read"], "cors_preflight": "allow"},
    {"name": "write", "path": "/write/**", "scopes": ["country.read"]},
]


@dataclass(frozen=True)
class Gateway:
    """A gateway: its example, the contract of its listener, and its command, with the file's path added."""

    name: str
    example: str
    contract: str
    command: tuple[str, ...]

    @property
    def program(self) -> str | None:
        """The path of its program; None if it is not installed."""
        return shutil.which(self.command[0], path=_COMMANDS)


GATEWAYS = (
    Gateway("nginx", "nginx.conf", "nginx", ("nginx", "-e", "stderr", "-c")),
    Gateway("haproxy", "haproxy.cfg", "haproxy", ("haproxy", "-db", "-f")),
    Gateway("caddy", "Caddyfile", "forwarded", ("caddy", "run", "--adapter", "caddyfile", "--config")),
    Gateway(
        "envoy-http", "envoy-http.yaml", "request", ("envoy", "--disable-hot-restart", "--log-level", "error", "-c")
    ),
    Gateway(
        "envoy-grpc", "envoy-grpc.yaml", "envoy-grpc", ("envoy", "--disable-hot-restart", "--log-level", "error", "-c")
    ),
)


@dataclass
class Stack:
    """A running gateway before an app, with the enforcer that it asks."""

    gateway: Gateway
    port: int
    enforcer: Enforcer
    app: Upstream
    server: Server


@contextmanager
def running(gateway: Gateway, folder: Path) -> Iterator[Stack]:
    """Run a gateway with its app, the enforcer and an authorization server until the block ends."""
    listener = {"address": "127.0.0.1:0", "contract": gateway.contract, "trusted_proxies": ["127.0.0.1"]}
    with introspection_server(TOKENS) as server, upstream(_respond) as app:
        text = config("", server.port, upstream=None, rules=RULES, decision=[listener])
        with (
            enforcer(text) as process,
            program(gateway, folder, process.decision_ports[gateway.contract], app.port) as port,
        ):
            yield Stack(gateway, port, process, app, server)


def _respond(incoming: Incoming) -> None:
    """Respond with the request line and the fields that arrived, and the size of the body."""
    if incoming.values("upgrade"):
        accept = b64encode(sha1(incoming.values("sec-websocket-key")[0] + _GUID, usedforsecurity=False).digest())
        fields = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n" % accept
        incoming.send_raw(b"HTTP/1.1 101 Switching Protocols\r\n%b\r\nwelcome" % fields)
        incoming.socket.recv(1)
        return
    size = sum(map(len, incoming.pieces()))
    lines = [incoming.request.method + b" " + incoming.request.target]
    lines += [name + b": " + value for name, value in incoming.fields]
    incoming.respond(b"" if incoming.request.method == b"HEAD" else b"\n".join([*lines, b"body: %d" % size]))


@contextmanager
def program(
    gateway: Gateway, folder: Path, decision: int, app: int, change: Callable[[str], str] = str
) -> Iterator[int]:
    """Run a gateway that asks and forwards to these ports, and return its own; `change` is made to its example."""
    port = unused_ports(1)[0]
    text = change((EXAMPLES / gateway.example).read_text())
    ports = {_ENFORCER: decision, _APP: app, _LISTEN: port}
    for example, number in ports.items():
        for written in (f"127.0.0.1:{example}", f"port_value: {example}", f"http://:{example}"):
            text = text.replace(written, written.replace(example, str(number)))
    path = folder / gateway.example
    path.write_text(_complete(gateway, text, folder))
    assert gateway.program is not None
    log = (folder / "log").open("w+")
    with log, subprocess.Popen([gateway.program, *gateway.command[1:], str(path)], stdout=log, stderr=log) as running:
        try:
            assert eventually(lambda: running.poll() is not None or listens(port))
            assert running.poll() is None, (folder / "log").read_text()
            yield port
        finally:
            running.terminate()
            running.wait(TIMEOUT)


def _complete(gateway: Gateway, text: str, folder: Path) -> str:
    """Return a whole configuration of an example that is a part of one, or that names installed files."""
    if gateway.name == "nginx":
        user = "user root;" if os.geteuid() == 0 else ""
        paths = "".join(
            f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"{user} daemon off; pid {folder}/pid; events {{}}\nhttp {{ access_log off;\n{paths}\n{text}}}\n"
    if gateway.name == "haproxy":
        return text.replace("/usr/share/haproxy", os.environ.get("HAPROXY_LUA", "/usr/share/haproxy"))
    if gateway.name == "caddy":
        return "{\n\tadmin off\n\tauto_https off\n}\n" + text
    return text
