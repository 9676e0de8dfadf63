"""A server of HTTP/2 for scripts of events, on the library h2: it reads what was written to a `Pipe`, and responds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset, TrailersReceived
from h2.settings import SettingCodes, Settings

from harness.playbook import Pipe

OK = [(b":status", b"200"), (b"content-type", b"text/plain")]


class Http2Server:
    """The server's end of a connection; nothing that it sends arrives before `flush` or `respond`."""

    def __init__(self, pipe: Pipe, settings: Mapping[SettingCodes, int] | None = None) -> None:
        self.pipe = pipe
        self.machine = H2Connection(
            H2Configuration(client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.machine.local_settings = Settings(client=False, initial_values=dict(settings or {}))
        self.machine.initiate_connection()
        self.events: list[Event] = []
        self.heads: dict[int, dict[bytes, bytes]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.trailers: dict[int, list[tuple[bytes, bytes]]] = {}
        self.resets: dict[int, int] = {}

    def start(self) -> None:
        """Read the client's preface, and send the server's SETTINGS."""
        self.read()
        self.flush()

    def read(self) -> list[Event]:
        """Return the events of what the client has sent."""
        events = self.machine.receive_data(self.pipe.take())
        for event in events:
            if isinstance(event, RequestReceived):
                self.heads[event.stream_id] = {bytes(name): bytes(value) for name, value in event.headers}
                self.bodies[event.stream_id] = b""
            elif isinstance(event, DataReceived):
                self.bodies[event.stream_id] += event.data
            elif isinstance(event, TrailersReceived):
                self.trailers[event.stream_id] = [(bytes(name), bytes(value)) for name, value in event.headers]
            elif isinstance(event, StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, StreamReset):
                self.resets[event.stream_id] = int(event.error_code)
        self.events += events
        return events

    def flush(self) -> None:
        """Let what was sent arrive."""
        self.pipe.receive(self.machine.data_to_send())

    def do(self, action: Callable[[H2Connection], Any]) -> None:
        """Read, let the state machine do something, and send."""
        self.read()
        action(self.machine)
        self.flush()

    def respond(self, number: int, body: bytes = b"", head: list[tuple[bytes, bytes]] | None = None) -> None:
        """Send a whole response."""
        self.read()
        self.machine.send_headers(number, OK if head is None else head, end_stream=not body)
        if body:
            self.machine.send_data(number, body, end_stream=True)
        self.flush()
