"""Writes the frames of an HTTP/2 connection to a server: bodies only as fast as it takes them.

Frames are written when the event loop turns next. By then a request's head, its body and its end have often come, and
requests of other clients too, so that the last DATA ends its stream, and one write has them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from enforcer.wire.http2.state_machine import FRAME, BoundedConnection

_ALL: Final = 2**31
_UNWRITTEN: Final = 64 * 1024
"""Bytes of bodies that are framed before they are written: more would not be noticed by flow control."""


class Upload(Protocol):
    """A request body. `unsent` is what is to be sent of it, in the stream with this `number`."""

    number: int
    unsent: bytes

    @property
    def ends(self) -> bool:
        """Whether the stream ends behind `unsent`."""

    def on_end_sent(self) -> None:
        """Note that the last frame of `unsent` has ended the stream."""

    def on_sent(self) -> None:
        """Go on: `unsent` has become empty."""

    def on_wait(self) -> None:
        """Wait: there is no room for `unsent`."""


class FrameWriter:
    """Writes what the state machine has to send. `in_turn`: it is written at the end of the turn.

    `full`: the transport takes no more, so that only frames without flow control are written.
    """

    __slots__ = (
        "_call_soon",
        "_machine",
        "_scheduled",
        "_transport",
        "_untried",
        "_unwritten",
        "_waiting",
        "full",
        "in_turn",
    )  # fmt: skip

    def __init__(
        self,
        machine: BoundedConnection,
        transport: asyncio.Transport,
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._machine = machine
        self._transport = transport
        self._call_soon = call_soon
        self._untried: list[Upload] = []  # they have something to send
        self._waiting: dict[Upload, None] = {}  # they have something to send, and no room; in this order
        self._unwritten = 0  # bytes of bodies that are framed, and not written
        self._scheduled = False
        self.full = False
        self.in_turn = False

    @property
    def unread(self) -> int:
        """Bytes that the server has not read."""
        return self._transport.get_write_buffer_size()

    def send_body(self, upload: Upload) -> None:
        """Send as much of a body as there is room for, when the loop turns next, and the rest when there is more."""
        if upload not in self._waiting:
            self._untried.append(upload)
            self._schedule()

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
        """Write what the state machine has to send, at the end of the turn or when the loop turns next."""
        if not self.in_turn:
            self._schedule()

    def write(self) -> None:
        """Write what the state machine has to send."""
        self._unwritten = 0
        data = self._machine.data_to_send()
        if data:
            self._transport.write(data)

    def write_last(self, frame: bytes) -> None:
        """Write everything, and behind it the last frame."""
        self._transport.write(self._machine.data_to_send() + frame)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._on_loop_turn)

    def _on_loop_turn(self) -> None:
        self._scheduled = False
        untried, self._untried = self._untried, []  # also at the end: they refer to the connection of this object
        if self._transport.is_closing():
            return
        for upload in untried:
            if not upload.unsent or upload in self._waiting:
                continue
            self._send(upload, _ALL)
            if upload.unsent:
                self._waiting[upload] = None
                upload.on_wait()
            else:
                upload.on_sent()
        self.write()

    def _send(self, upload: Upload, most: int) -> None:
        """Send frames of a body until there is no more room, or at least `most` bytes are sent."""
        machine, data, number, ends = self._machine, upload.unsent, upload.number, upload.ends
        start, end = 0, len(data)
        while start < end and start < most and not self.full:
            size = min(machine.local_flow_control_window(number), FRAME, end - start)
            if size <= 0:
                break
            last = ends and start + size == end
            machine.send_data(number, data[start : start + size], last)
            start += size
            self._unwritten += size
            if self._unwritten >= _UNWRITTEN:
                self.write()  # so that the transport can say that it is full
            if last:
                upload.on_end_sent()
        if start:
            upload.unsent = data[start:]
