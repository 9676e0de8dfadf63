"""Writes the frames of an HTTP/2 connection to a server: bodies only as fast as it takes them."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from enforcer.wire.http2.state_machine import FRAME, BoundedConnection

_ALL: Final = 2**31


class Upload(Protocol):
    """A request body. `unsent` is what waits for room, in the stream with this `number`."""

    number: int
    unsent: bytes

    def on_sent(self) -> None:
        """Go on: `unsent` has become empty."""


class FrameWriter:
    """Writes what the state machine has to send. `in_turn`: it is written at the end of the turn.

    `full`: the transport takes no more, so that only frames without flow control are written.
    """

    __slots__ = ("_machine", "_outgoing", "_transport", "_waiting", "full", "in_turn")

    def __init__(self, machine: BoundedConnection, transport: asyncio.Transport) -> None:
        self._machine = machine
        self._transport = transport
        self._outgoing: list[bytes] = []
        self._waiting: dict[Upload, None] = {}  # they have something to send, and no room; in this order
        self.full = False
        self.in_turn = False

    @property
    def unread(self) -> int:
        """Bytes that the server has not read."""
        return self._transport.get_write_buffer_size()

    def send_body(self, upload: Upload) -> None:
        """Send as much of a body as there is room for, and the rest as soon as there is more."""
        if upload not in self._waiting:
            self._send(upload, _ALL)
            if upload.unsent:
                self._waiting[upload] = None
            self.flush()

    def send_waiting(self) -> None:
        """Let the bodies that wait go on, one frame each in turn: none of them takes the window from the others."""
        progress = True
        while progress and self._waiting and not self.full:
            progress = False
            for upload in tuple(self._waiting):
                before = len(upload.unsent)
                self._send(upload, 1)
                progress = progress or len(upload.unsent) < before
                if not upload.unsent and upload in self._waiting:
                    self._waiting.pop(upload)
                    upload.on_sent()
        self.flush()

    def forget(self, upload: Upload) -> None:
        """Send no more of a body."""
        self._waiting.pop(upload, None)

    def flush(self) -> None:
        """Write what the state machine has to send, now or at the end of the turn."""
        self._collect()
        if not self.in_turn:
            self._write()

    def write_last(self, frame: bytes) -> None:
        """Write everything, and behind it the last frame."""
        self._collect()
        self._outgoing.append(frame)
        self._write()

    def _collect(self) -> None:
        data = self._machine.data_to_send()
        if data:
            self._outgoing.append(data)

    def _write(self) -> None:
        outgoing = self._outgoing
        if outgoing:
            self._outgoing = []
            self._transport.writelines(outgoing)

    def _send(self, upload: Upload, most: int) -> None:
        """Send frames of a body until there is no more room, or at least `most` bytes are sent."""
        machine, data, number = self._machine, upload.unsent, upload.number
        start, end = 0, len(data)
        while start < end and start < most and not self.full:
            size = min(machine.local_flow_control_window(number), FRAME, end - start)
            if size <= 0:
                break
            machine.send_data(number, data[start : start + size])
            start += size
            self.flush()  # so that the transport can say that it is full
        if start:
            upload.unsent = data[start:]
