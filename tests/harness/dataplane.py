"""The data plane without sockets: everything is real except the transports and the servers behind them."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import h11
from pydantic import TypeAdapter

from enforcer.config.documents.sources import Sources
from enforcer.config.load import load
from enforcer.decision_api.door import DecisionDoor, DoorSettings
from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.door import PROXY, Door
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.server.assembly import assemble
from enforcer.server.resources import SharedResources
from enforcer.settings.decision import DecisionListener
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker
from harness.attack_policy import CLAIMS, RULES
from harness.configs import authorization_server, config
from harness.servers import response

PEER = "192.0.2.1"
OWN_PORT, AUTHORIZATION_PORT = 1, 2  # of `upstream`, and of the authorization server
OWN_HOST = b"127.0.0.1:%d" % OWN_PORT
_STILL = 2  # turns of the loop in which nothing happens, after which nothing will without more input


@dataclass
class Arrived:
    """A complete request at the upstream, as an independent HTTP/1.1 parser reads it."""

    port: int
    head: bytes
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass
class Outcome:
    """The result of one client's bytes."""

    arrived: list[Arrived]
    heads: list[bytes]
    faults: list[str]
    answered: bytes
    ended: bool
    """True if the connection has ended, or became a tunnel."""
    deadline: float
    """Time at which the connection is cut if nothing more arrives."""
    waits: bool
    """True if a response of an upstream is outstanding."""


class Transport(asyncio.Transport):
    """One end of a connection; what is written goes to `receive`."""

    def __init__(self, plane: DataPlane, receive: Callable[[bytes], None], address: str = PEER) -> None:
        super().__init__({"peername": (address, 1), "socket": _Socket()})
        self._plane = plane
        self._receive = receive
        self.protocol: Any = None
        self.reading = True
        self.over = False
        self.ended = False
        self.switched = False

    def write(self, data: Any) -> None:
        if not self.over:
            self._plane.events += 1
            self._receive(bytes(data))

    def writelines(self, lines: Any) -> None:
        self.write(b"".join(lines))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        if not self.over:
            self.over = True
            self._plane.soon(lambda: self.protocol.connection_lost(None))

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.over

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.switched = True
        self.protocol = protocol


class _Socket:
    def setsockopt(self, *_: object) -> None:
        pass

    def fileno(self) -> int:
        return -1


class DataPlane:
    """The data plane of a configuration, and the servers that it calls.

    `worth` returns the introspection response for a token; `changes` are sections of the configuration.
    """

    def __init__(self, introspect: Callable[[str], Mapping[str, Any]] | None = None, **changes: Any) -> None:
        self.introspect = introspect or _introspect
        self._loop = loop = asyncio.get_running_loop()
        loop.create_connection = self._connect  # type: ignore[method-assign,assignment]
        loop.set_exception_handler(lambda _, context: self._faults.append(repr(context.get("exception") or context)))
        self._recorder = _Recorder(self._on_error)
        logging.getLogger("enforcer").addHandler(self._recorder)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.yaml"
            limits = {"unseen_tokens": {"rate": 10**6, "burst": 10**6}}
            server = authorization_server(AUTHORIZATION_PORT, timeout="1m")  # only a busy machine is slow
            sections = {"authorization_servers": [server], "rules": RULES, "limits": limits, **changes}
            path.write_text(config(f"http://127.0.0.1:{OWN_PORT}", AUTHORIZATION_PORT, **sections))
            self.config = settings = load(path, {"ENFORCER_CLIENT_SECRET": "secret"}).config
        self.events = 0
        self.telemetry = Telemetry("fuzzed")
        self._ticker = Ticker(loop)
        snapshot, _ = assemble(settings, SharedResources().scope(), self.telemetry, self._ticker, loop)
        self.registry = ConnectionRegistry(snapshot, self.telemetry, self._ticker)
        self._begin([], b"", late=False)

    def _begin(self, arrived: list[Arrived], answer: bytes, *, late: bool) -> None:
        self._faults: list[str] = []
        self._arrived = arrived
        self._heads: list[bytes] = []
        self._answer = answer
        self._late: list[Callable[[], None]] | None = [] if late else None

    def close(self) -> None:
        """Stop the clock, and stop recording the log."""
        logging.getLogger("enforcer").removeHandler(self._recorder)
        self._ticker.stop()

    def door(self, **settings: Any) -> DecisionDoor:
        """Return a door of the decision API, with these settings of its listener."""
        listener = TypeAdapter(DecisionListener).validate_python(
            {"address": "127.0.0.1:0", **settings}, context=Sources(Path(), {"SECRET": "hush"})
        )
        return DecisionDoor(DoorSettings(listener, self.config.forwarding, self.telemetry.door(listener.contract)))

    async def run(
        self,
        pieces: Sequence[bytes],
        *,
        late: bool = False,
        answer: bytes = b"",
        door: Door = PROXY,
        address: str = PEER,
    ) -> Outcome:
        """Send `pieces` as the reads of one connection, from an address to a door.

        `late`: the servers respond only after all pieces were sent; `answer`: the upstream's response to `/public/odd`.
        """
        self._begin([], answer, late=late)
        answered = bytearray()
        transport = Transport(self, answered.extend, address)
        connection = transport.protocol = ClientConnection(self.registry, None, door)
        connection.connection_made(transport)
        backlog = list(pieces)
        for _ in range(2):
            await self._send(transport, backlog)
            delayed, self._late = self._late or [], None
            for release in delayed:
                release()
            await self._settle()
        outcome = Outcome(
            self._arrived,
            self._heads,
            self._faults,
            bytes(answered),
            transport.over or transport.switched or transport.ended,
            connection.deadline,
            connection.busy,
        )
        transport.close()
        await self._settle()
        if self.registry.connections:
            self._faults.append("the connection is still registered after its end")
        return outcome

    async def _send(self, transport: Transport, backlog: list[bytes]) -> None:
        while backlog and not transport.over and transport.reading:
            try:
                transport.protocol.data_received(backlog.pop(0))
            except Exception as error:  # noqa: BLE001 - any exception is a fault
                self._faults.append(f"raised out of data_received: {error!r}")
            await self._settle()

    async def _settle(self) -> None:
        still = 0
        while still < _STILL:
            before = self.events
            await asyncio.sleep(0)
            still = still + 1 if self.events == before and not len(self._ticker.turns) else 0

    def _on_error(self, record: logging.LogRecord) -> None:
        self._faults.append(
            f"{record.getMessage()}: {record.exc_info[1]!r}" if record.exc_info else record.getMessage()
        )

    # The servers

    async def _connect(self, factory: Callable[[], Any], host: str, port: int, **_: object) -> tuple[Transport, Any]:
        self.events += 1
        serve = _Authorization(self) if port == AUTHORIZATION_PORT else _Upstream(self, port)
        transport = Transport(self, serve.receive)
        protocol = serve.protocol = transport.protocol = factory()
        serve.transport = transport
        protocol.connection_made(transport)
        return transport, protocol

    def answer(self, server: _Server, data: bytes) -> None:
        """Deliver a response of a server: in the next turn of the loop, or after everything was sent."""
        if self._late is not None:
            self._late.append(lambda: server.deliver(data))
        else:
            self.soon(lambda: server.deliver(data))

    def soon(self, call: Callable[[], None]) -> None:
        """Call a function in the next turn of the loop."""
        self.events += 1
        self._loop.call_soon(call)


class _Server:
    protocol: Any
    transport: Transport

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane
        self.wire = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)

    def receive(self, data: bytes) -> None:
        """Parse bytes from the enforcer."""
        if self.transport.switched:
            return
        try:
            self.wire.receive_data(data)
            while isinstance(event := self.wire.next_event(), h11.Event) and not isinstance(
                event, h11.ConnectionClosed
            ):
                self.on_event(event)
        except h11.RemoteProtocolError as error:
            self.plane._faults.append(f"the upstream cannot parse the request: {error}: {data!r}")

    def on_event(self, event: h11.Event) -> None:
        raise NotImplementedError

    def end(self, answer: bytes) -> None:
        """Respond, and prepare the parser for the next request."""
        self.wire.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        self.wire.send(h11.EndOfMessage())
        if self.wire.our_state is self.wire.their_state is h11.DONE:
            self.wire.start_next_cycle()
        self.plane.answer(self, answer)

    def deliver(self, data: bytes) -> None:
        """Deliver a response to the enforcer; no data closes the connection."""
        if not self.transport.over and data:
            self.transport.protocol.data_received(data)
        if not data:
            self.transport.close()


class _Upstream(_Server):
    def __init__(self, plane: DataPlane, port: int) -> None:
        super().__init__(plane)
        self._port = port

    def on_event(self, event: h11.Event) -> None:
        plane = self.plane
        if isinstance(event, h11.Request):
            lines = [name + b": " + value for name, value in event.headers.raw_items()]
            start = b"%b %b HTTP/%b" % (event.method, event.target, event.http_version)
            self._request = Arrived(self._port, b"\r\n".join([start, *lines, b"", b""]))
            plane._heads.append(self._request.head)
        elif isinstance(event, h11.Data):
            self._request.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self._request.trailers = list(event.headers.raw_items())
            plane._arrived.append(self._request)
            odd = plane._answer if b" /public/odd " in self._request.head else b""
            self.end(odd or b"HTTP/1.1 200 OK\r\nX-Even: y\r\nContent-Length: 0\r\n\r\n")


class _Authorization(_Server):
    def on_event(self, event: h11.Event) -> None:
        if isinstance(event, h11.Request):
            self._body = b""
        elif isinstance(event, h11.Data):
            self._body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            form = parse_qs(self._body.decode(), strict_parsing=True, keep_blank_values=True)
            if form.keys() != {"token", "token_type_hint"} or len(form["token"]) != 1:
                self.plane._faults.append(f"the introspection has other parameters than it should: {self._body!r}")
            self.end(response(json.dumps(self.plane.introspect(form["token"][0])).encode()))


def _introspect(token: str) -> Mapping[str, Any]:
    claims = CLAIMS.get(token.partition("~")[0])
    return {"active": False} if claims is None else {"active": True, **claims}


class _Recorder(logging.Handler):
    def __init__(self, record: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.ERROR)
        self._record = record

    def emit(self, record: logging.LogRecord) -> None:
        self._record(record)
