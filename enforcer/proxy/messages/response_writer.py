"""Response writers: an exchange says what its response is, and the writer puts it into the protocol of its client."""

from __future__ import annotations

import asyncio

from enforcer.proxy.messages.forwarding import STATUS_LINES
from enforcer.proxy.messages.responses import OwnResponse


class ResponseWriter:
    """Writes responses in the protocol that the client speaks.

    `lines` are field lines in pieces: name, `b": "`, value, `b"\\r\\n"`. `closes`: the connection ends after the
    response. `http10`: the client speaks HTTP/1.0.
    """

    __slots__ = ()

    def accepts(self, status: int, lines: list[bytes]) -> bool:
        """Return whether a response may answer a request for an upgrade, 101 included."""
        return True

    def write_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        """Write an interim response (RFC 9110 §15.2)."""
        raise NotImplementedError

    def write_upgrade(self, reason: bytes, lines: list[bytes], protocol: bytes) -> None:
        """Write the response that switches to `protocol` (RFC 9110 §7.8)."""
        raise NotImplementedError

    def write_own(
        self, response: OwnResponse, date: bytes, *, closes: bool, head_only: bool, http10: bool, request_id: bytes
    ) -> None:
        """Write a response of our own, whole. `date` is a Date line; `request_id` is empty if it has none."""
        raise NotImplementedError

    def begin(self, status: int, reason: bytes, lines: list[bytes], *, sized: bool, closes: bool, http10: bool) -> None:
        """Begin a response with its head. `sized`: the lines have a Content-Length, or no body can follow."""
        raise NotImplementedError

    def withdraw(self) -> bool:
        """Forget the response that was begun, if nothing of it was written yet; return whether another can be."""
        raise NotImplementedError

    def add(self, data: bytes) -> None:
        """Add a piece of the body."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write what was added: there may be no more for a while."""
        raise NotImplementedError

    def end(self, trailers: list[bytes]) -> None:
        """Write the rest of the response; `trailers` are field lines in pieces."""
        raise NotImplementedError


class Http1Writer(ResponseWriter):
    """Writes the responses of one HTTP/1.1 connection, one after the other (RFC 9112)."""

    __slots__ = ("_chunked", "_out", "_reason", "_status", "_status_line", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._out: list[bytes] = []
        self._chunked = False
        self._status, self._reason = 200, b"OK"
        self._status_line = STATUS_LINES[200, b"OK"]  # of the last response: mostly the next one's is the same

    def write_informational(self, status: int, reason: bytes, lines: list[bytes]) -> None:
        self._transport.write(b"%b%b\r\n" % (STATUS_LINES[status, reason], b"".join(lines)))

    def write_upgrade(self, reason: bytes, lines: list[bytes], protocol: bytes) -> None:
        switching = b"HTTP/1.1 101 %b\r\n%bConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
        self._transport.write(switching % (reason, b"".join(lines), protocol))

    def write_own(
        self, response: OwnResponse, date: bytes, *, closes: bool, head_only: bool, http10: bool, request_id: bytes
    ) -> None:
        self._transport.write(
            response.render(date, close=closes, head_only=head_only, http10=http10, request_id=request_id)
        )

    def begin(self, status: int, reason: bytes, lines: list[bytes], *, sized: bool, closes: bool, http10: bool) -> None:
        if status != self._status or reason != self._reason:
            self._status, self._reason, self._status_line = status, reason, STATUS_LINES[status, reason]
        out = self._out = [self._status_line, *lines]
        self._chunked = not sized and not http10
        if self._chunked:
            out.append(b"Transfer-Encoding: chunked\r\n")
        if status == 426:
            out.append(b"Connection: upgrade\r\n")  # RFC 9110 §7.8: the client may then ask for the protocol of Upgrade
        if closes:
            out.append(b"Connection: close\r\n\r\n")
        elif http10:
            out.append(b"Connection: keep-alive\r\n\r\n")
        else:
            out.append(b"\r\n")

    def withdraw(self) -> bool:
        out = self._out
        unwritten = bool(out) and out[0] is self._status_line
        if unwritten:
            out.clear()
        return unwritten

    def add(self, data: bytes) -> None:
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def flush(self) -> None:
        out = self._out
        if out:
            self._out = []
            self._transport.writelines(out)

    def end(self, trailers: list[bytes]) -> None:
        out = self._out
        if self._chunked:
            out.append(b"0\r\n")
            out += trailers
            out.append(b"\r\n")
        if out:
            data = b"".join(out)
            out.clear()
            self._transport.write(data)
