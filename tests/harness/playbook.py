"""Scripts of events for the request path, without sockets: everything is real except the transports.

A test feeds bytes to one side and looks at the state and at what was written to the others (see `Pipe`). It decides
itself when a server responds; `harness.dataplane` responds by itself.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from enforcer.config.load import load
from enforcer.proxy.messages.forwarding import Forwarding
from enforcer.proxy.messages.head import HeadBuilder, RequestHead
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot
from enforcer.server.assembly import assemble
from enforcer.server.resources import SharedResources
from enforcer.settings.forwarding import ForwardingSettings
from enforcer.settings.limits import Limits
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker
from harness.configs import config

_UPSTREAM, _AUTHORIZATION = 1, 2  # ports


class Pipe(asyncio.Transport):
    """A transport that records what is done to it; `receive` delivers bytes to the protocol on top of it.

    `writes` is the number of calls that wrote something.
    """

    def __init__(self, protocol: Any = None, *, can_write_eof: bool = True, address: str = "192.0.2.1") -> None:
        super().__init__({"peername": (address, 1)})
        self.protocol = protocol
        self.written = b""
        self.writes = 0
        self._arrived = b""
        self.buffered = 0
        self.limit: int | None = None
        self.paused = self.half_closed = self.closed = self.aborted = False
        self._can_write_eof = can_write_eof

    def receive(self, data: bytes) -> None:
        """Deliver bytes from the other side, or hold those that come while reading is paused."""
        self._arrived += data
        self._deliver()

    def _deliver(self) -> None:
        if self._arrived and not self.paused and not self.is_closing():
            arrived, self._arrived = self._arrived, b""
            self.protocol.data_received(arrived)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        written, self.written = self.written, b""
        return written

    def write(self, data: Any) -> None:
        self.written += bytes(data)
        self.writes += 1

    def writelines(self, lines: Any) -> None:
        self.write(b"".join(lines))

    def can_write_eof(self) -> bool:
        return self._can_write_eof

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        if self._arrived:
            asyncio.get_running_loop().call_soon(self._deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limit = high

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol


class Playbook:
    """One configuration, and the transports of the connections that it opens. Made inside a running event loop."""

    def __init__(self, **changes: Any) -> None:
        self._loop = loop = asyncio.get_running_loop()
        loop.create_connection = self._connect  # type: ignore[method-assign,assignment]
        self.telemetry = Telemetry("tested")
        self.ticker = Ticker(loop)
        self.ticker.stop()
        self.upstreams: list[Pipe] = []
        self.authorization_servers: list[Pipe] = []
        self.reachable = True
        self._resources = SharedResources()
        self.registry = ConnectionRegistry(self.snapshot(**changes), self.telemetry, self.ticker)

    def snapshot(self, **changes: Any) -> Snapshot:
        """Return a snapshot of the base configuration with `changes` (see `harness.configs.config`)."""
        self.telemetry.begin()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(config(f"http://127.0.0.1:{_UPSTREAM}", _AUTHORIZATION, **changes))
            loaded = load(path, {"ENFORCER_CLIENT_SECRET": "secret"})
        return assemble(loaded.config, self._resources.scope(), self.telemetry, self.ticker, self._loop)[0]

    async def _connect(self, factory: Any, host: str, port: int, **_: object) -> tuple[Pipe, Any]:
        if not self.reachable:
            raise ConnectionRefusedError(111, "Connection refused")
        pipe = Pipe(factory())
        (self.upstreams if port == _UPSTREAM else self.authorization_servers).append(pipe)
        pipe.protocol.connection_made(pipe)
        return pipe, pipe.protocol

    @property
    def upstream(self) -> Pipe:
        """The newest connection to the upstream."""
        return self.upstreams[-1]

    async def settle(self) -> None:
        """Run the event loop until nothing more happens without input."""
        left = 5
        while left:
            await asyncio.sleep(0)
            left = 5 if len(self.ticker.turns) else left - 1

    def introspected(self, members: Mapping[str, Any]) -> None:
        """Respond to the last introspection request."""
        body = json.dumps(members).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.authorization_servers[-1].receive(head % len(body) + body)


_FORWARDING = Forwarding(ForwardingSettings())


def head(method: bytes = b"GET", target: bytes = b"/thing", *fields: tuple[bytes, bytes]) -> RequestHead:
    """Return the head of an HTTP/1.1 request to `localhost`."""
    builder = HeadBuilder(_FORWARDING)
    builder.on_url(target)
    for name, value in ((b"Host", b"localhost"), *fields):
        builder.on_header(name, value)
    upgrades = any(name == b"Upgrade" for name, _ in fields)
    return builder.build_special(method, True, Limits(), False, "1.1", upgrades)


def play(script: Coroutine[Any, Any, None]) -> None:
    """Run a script in an event loop of its own."""
    asyncio.run(script)
