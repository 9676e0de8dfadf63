"""Cuts the input of an HTTP/2 connection into whole frames (RFC 9113 §4), within limits. Pure.

The library holds a frame until it is whole, whatever its length, and a field section until its last CONTINUATION. So
the limits of both are checked here, at the first byte that exceeds them.
"""

from __future__ import annotations

from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The first bytes of a client (RFC 9113 §3.4)."""

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8

# Error codes (RFC 9113 §7)
NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
ENHANCE_YOUR_CALM: Final = 11

_HEADER: Final = 9
_WORD: Final = 4
_PRIORITY: Final = 5
_MAX_STREAM: Final = 0x7FFFFFFF


class FrameError(Exception):
    """A frame that ends its connection; `code` is the error code of the GOAWAY (RFC 9113 §7)."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def _length(data: bytes, start: int) -> int:
    return (data[start] << 16) | (data[start + 1] << 8) | data[start + 2]


class FrameReader:
    """The frames of one connection. `kind`, `flags`, `stream` and `length` (of the payload) are the last frame's.

    `frame`: the largest payload that is taken. `section`: the largest field section, as it is compressed, and
    `continuations` the frames that it may be continued in.
    """

    __slots__ = (
        "_begun", "_continuations", "_data", "_frame", "_left", "_position", "_preface", "_section", "_size", "flags",
        "in_section", "kind", "length", "stream",
    )  # fmt: skip

    def __init__(self, frame: int, section: int, continuations: int) -> None:
        self._frame = frame
        self._section = section
        self._continuations = continuations
        self._preface = False  # it comes first
        self._begun = False
        self._data = b""
        self._position = 0
        self._size = 0  # of the field section that is not complete
        self._left = 0  # CONTINUATION frames that it may still have
        self.in_section = False
        self.kind = self.flags = self.stream = self.length = 0

    @property
    def held(self) -> int:
        """Number of bytes that are held: of a frame, or a field section, that is not complete."""
        return len(self._data) - self._position + self._size

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._data = self._data[self._position :] + data
        self._position = 0

    def expect_preface(self) -> None:
        """Take the client's preface before the first frame."""
        self._preface = True

    @property
    def next_kind(self) -> int:
        """The kind of the next frame, complete or not; -1 if nothing of it has come."""
        return self._data[self._position + 3] if len(self._data) - self._position >= _HEADER else -1

    def take_frames(self) -> bytes:
        """Return the bytes that no frame was made of yet, and hold them no longer; none if no frame is complete."""
        data, start = self._data, self._position
        if len(data) - start < _HEADER or len(data) - start < _HEADER + _length(data, start):
            return b""
        self.clear()
        return data[start:]

    @property
    def next_stream(self) -> int:
        """The stream of the next frame, of which at least the header has come."""
        start = self._position
        return int.from_bytes(self._data[start + 5 : start + _HEADER]) & _MAX_STREAM

    def clear(self) -> None:
        """Hold no bytes any longer."""
        self._data = b""
        self._position = 0

    def next(self) -> bytes:
        """Return the next whole frame, empty if there is none; raises FrameError."""
        if self._preface:
            self._read_preface()
        data, start = self._data, self._position
        if self._preface or len(data) - start < _HEADER:
            return b""
        length = _length(data, start)
        if length > self._frame:
            raise FrameError(FRAME_SIZE_ERROR, "a frame is too large")
        kind, flags = data[start + 3], data[start + 4]
        if not self._begun:
            if kind != SETTINGS:
                raise FrameError(PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._begun = True
        if self.in_section or kind in (CONTINUATION, HEADERS):
            self._check_section(kind, length)
        end = start + _HEADER + length
        if len(data) < end:
            return b""
        self.kind, self.flags, self.length = kind, flags, length
        self.stream = int.from_bytes(data[start + 5 : start + 9]) & _MAX_STREAM
        if kind in (CONTINUATION, HEADERS):
            self._count_section(kind, flags, length)
        self._position = end
        return data[start:end]

    def _read_preface(self) -> None:
        data = self._data
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise FrameError(PROTOCOL_ERROR, "not the preface of HTTP/2")
        if len(data) >= len(PREFACE):
            self._preface = False
            self._position = len(PREFACE)

    def _check_section(self, kind: int, length: int) -> None:
        if self.in_section != (kind == CONTINUATION) or (self.in_section and self.next_stream != self.stream):
            raise FrameError(PROTOCOL_ERROR, "a field section is interrupted, or continued without a beginning")
        if kind == CONTINUATION and not self._left:
            raise FrameError(ENHANCE_YOUR_CALM, "a field section has too many frames")
        if self._size + length > self._section:
            raise FrameError(ENHANCE_YOUR_CALM, "a field section is too large")

    def _count_section(self, kind: int, flags: int, length: int) -> None:
        if flags & END_HEADERS:
            self.in_section = False
            self._size = 0
        elif kind == HEADERS:
            self.in_section = True
            self._size = length
            self._left = self._continuations
        else:
            self._size += length
            self._left -= 1

    def is_control(self, frame: bytes) -> bool:
        """Return whether the last frame, `frame`, is work that neither moves a message nor ends one."""
        if self.kind == HEADERS:
            return False
        if self.kind == DATA:
            padded = self.flags & PADDED and self.length > 0
            size = self.length - 1 - frame[_HEADER] if padded else self.length
            return size <= 0 and not self.flags & END_STREAM
        return True

    def stream_error(self, frame: bytes) -> int:
        """Return the error code if the last frame, `frame`, is itself a fault of its stream, NO_ERROR if it is not.

        The library takes these for faults of the connection (RFC 9113 §6.3, §6.9, RFC 7540 §5.3.1).
        """
        if self.kind == WINDOW_UPDATE and self.length == _WORD:
            return NO_ERROR if int.from_bytes(frame[_HEADER:]) & _MAX_STREAM else PROTOCOL_ERROR
        if self.kind == PRIORITY:
            if self.length != _PRIORITY:
                return FRAME_SIZE_ERROR
            depends_on = int.from_bytes(frame[_HEADER : _HEADER + _WORD]) & _MAX_STREAM
            return PROTOCOL_ERROR if depends_on == self.stream else NO_ERROR
        return NO_ERROR


def goaway(last_stream: int, code: int) -> bytes:
    """Return a GOAWAY frame (RFC 9113 §6.8). The library's own would end the streams that go on."""
    return b"\0\0\x08\x07\0\0\0\0\0" + last_stream.to_bytes(4) + code.to_bytes(4)
