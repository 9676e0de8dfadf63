"""An HTTP/2 client as a script: the state machine of h2 on one side, the enforcer's connection on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from enforcer.proxy.connection import ClientConnection
from enforcer.proxy.door import PROXY, Door
from harness.playbook import Pipe, Playbook

Fields = Sequence[tuple[str, str]]


class Http2Client:
    """A client of h2, an independent HTTP/2: what it sends is put on the wire, what comes becomes events."""

    def __init__(self, **settings: Any) -> None:
        self.machine = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8", **settings))
        self.machine.initiate_connection()
        self.statuses: dict[int, int] = {}
        self.heads: dict[int, dict[str, str]] = {}
        self.informational: list[str] = []
        self.bodies: dict[int, bytes] = {}
        self.trailers: dict[int, dict[str, str]] = {}
        self.resets: dict[int, int] = {}
        self.ended: set[int] = set()
        self.goaway: tuple[int, int] | None = None
        self.reads = True  # the windows are given back

    def request(
        self,
        method: str,
        path: str,
        *fields: tuple[str, str],
        body: bytes | None = b"",
        scheme: str = "http",
        authority: str = "localhost",
    ) -> int:
        """Send a request, its body in one frame; None: more of it will come. Return the number of its stream."""
        number = self.machine.get_next_available_stream_id()
        head = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *fields]
        self.machine.send_headers(number, head, end_stream=body == b"")
        if body:
            self.machine.send_data(number, body, end_stream=True)
        return number

    def connect(self, path: str, *fields: tuple[str, str], protocol: str = "websocket") -> int:
        """Ask for a tunnel (RFC 8441); return the number of its stream."""
        number = self.machine.get_next_available_stream_id()
        head = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path)]
        self.machine.send_headers(number, [*head, (":authority", "localhost"), *fields])
        return number

    def take(self) -> bytes:
        """Return what is to be sent."""
        return self.machine.data_to_send()

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the enforcer."""
        events = self.machine.receive_data(data)
        for event in events:
            self._on_event(event)
        return events

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            fields: Any = event.headers
            self.heads[event.stream_id or 0] = dict(fields)
            self.statuses[event.stream_id or 0] = int(dict(fields)[":status"])
        elif isinstance(event, InformationalResponseReceived):
            fields = event.headers
            self.informational.append(dict(fields)[":status"])
        elif isinstance(event, DataReceived):
            number, data = event.stream_id or 0, event.data or b""
            self.bodies[number] = self.bodies.get(number, b"") + data
            if self.reads and event.flow_controlled_length:
                self.machine.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, TrailersReceived):
            fields = event.headers
            self.trailers[event.stream_id or 0] = dict(fields)
        elif isinstance(event, StreamEnded):
            self.ended.add(event.stream_id or 0)
        elif isinstance(event, StreamReset):
            self.resets[event.stream_id or 0] = int(event.error_code or 0)
        elif isinstance(event, ConnectionTerminated):
            self.goaway = (int(event.last_stream_id or 0), int(event.error_code or 0))


class Http2Script:
    """One HTTP/2 connection of a client to a playbook, prior knowledge on plain text."""

    def __init__(self, door: Door = PROXY, **changes: Any) -> None:
        self.playbook = Playbook(**changes)
        self.client = Http2Client()
        connection = ClientConnection(self.playbook.registry, None, door)
        self.pipe = Pipe(connection)
        connection.connection_made(self.pipe)

    @property
    def session(self) -> Any:
        """The connection that speaks HTTP/2, once the preface has been processed."""
        return self.pipe.protocol

    async def exchange(self) -> None:
        """Bring what both sides have to send to the other, until neither has any more."""
        while True:
            if data := self.client.take():
                self.pipe.receive(data)
            await self.playbook.settle()
            data = self.pipe.take()
            if data:
                self.client.receive(data)
            elif not self.client.machine._data_to_send:
                return

    async def respond(self, data: bytes) -> None:
        """Let bytes arrive from the upstream."""
        self.playbook.upstream.receive(data)
        await self.exchange()
