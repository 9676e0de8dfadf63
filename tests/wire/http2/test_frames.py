"""Frames: whatever the reads, the same frames come out, and what is too large is refused at its first byte."""

from __future__ import annotations

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from enforcer.wire.http2 import frames
from enforcer.wire.http2.frames import PREFACE, FrameError, FrameReader, goaway

SETTINGS = SettingsFrame(0).serialize()
PING = PingFrame(0, opaque_data=b"12345678").serialize()
LARGEST, SECTION, CONTINUATIONS = 100, 150, 2


def reader(*, preface: bool = False) -> FrameReader:
    """Return a reader with small limits."""
    made = FrameReader(LARGEST, SECTION, CONTINUATIONS)
    if preface:
        made.expect_preface()
    return made


def read(data: bytes, *, piece: int = 1000, preface: bool = False) -> list[bytes]:
    """Return the frames of a connection's bytes, read in pieces."""
    made, result = reader(preface=preface), []
    for start in range(0, len(data), piece):
        made.feed(data[start : start + piece])
        while frame := made.next():
            result.append(frame)
    return result


def section(size: int, *more: int) -> bytes:
    """Return a field section that does not end: HEADERS with `size` bytes, and a CONTINUATION for each of `more`."""
    parts: list[Frame] = [HeadersFrame(1, b"a" * size), *(ContinuationFrame(1, b"a" * length) for length in more)]
    return SETTINGS + b"".join(part.serialize() for part in parts)


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize("preface", [False, True])
def test_the_frames_are_the_same_whatever_the_reads(piece: int, *, preface: bool) -> None:
    """Each comes when it is whole, with its kind, stream and length."""
    data = DataFrame(3, b"abc", flags=["END_STREAM"]).serialize()
    begin = PREFACE if preface else b""
    assert read(begin + SETTINGS + data + PING, piece=piece, preface=preface) == [SETTINGS, data, PING]
    made = reader()
    made.feed(SETTINGS + data[:-1])
    assert (made.next(), made.kind, made.stream, made.next(), made.held) == (SETTINGS, 4, 0, b"", 11)
    assert (made.next_kind, made.take_frames()) == (frames.DATA, b"")
    made.feed(data[-1:] + PING)
    assert (made.next(), made.kind, made.stream, made.length, made.flags) == (data, 0, 3, 3, 1)
    assert (made.take_frames(), made.held) == (PING, 0)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (PING, frames.PROTOCOL_ERROR),
        (SETTINGS + DataFrame(1, b"a" * (LARGEST + 1)).serialize()[:9], frames.FRAME_SIZE_ERROR),
        (section(100, 51)[:-51], frames.ENHANCE_YOUR_CALM),
        (section(10, 10, 10, 10), frames.ENHANCE_YOUR_CALM),
        (section(0, 0, 0, 0), frames.ENHANCE_YOUR_CALM),
    ],
)
def test_what_exceeds_a_limit_ends_the_connection(data: bytes, code: int) -> None:
    """Before its payload has come: frames, and field sections however they are continued (CVE-2024-27316)."""
    with pytest.raises(FrameError) as caught:
        read(data)
    assert caught.value.code == code


def test_other_protocols_end_the_connection() -> None:
    """At the first byte that is not the preface's."""
    with pytest.raises(FrameError):
        read(b"PRI * HTTP/1.1\r\n", preface=True)
    assert read(PREFACE[:5], preface=True) == []


def test_a_section_within_the_limits_is_held_and_counted() -> None:
    """And forgotten with its end; another one may follow."""
    made = reader()
    made.feed(section(20, 30))
    assert [bool(made.next()) for _ in range(4)] == [True, True, True, False]
    assert (made.in_section, made.held) == (True, 50)
    made.feed(ContinuationFrame(1, b"a", flags=["END_HEADERS"]).serialize() + section(20)[9:])
    assert made.next()
    assert (made.in_section, made.next()[:3]) == (False, b"\0\0\x14")


@pytest.mark.parametrize(
    ("frame", "control"),
    [
        (DataFrame(1, b"a"), False),
        (DataFrame(1), True),
        (DataFrame(1, pad_length=9, flags=["PADDED"]), True),
        (DataFrame(1, b"a", pad_length=9, flags=["PADDED"]), False),
        (DataFrame(1, flags=["END_STREAM"]), False),
        (HeadersFrame(1, b"a", flags=["END_HEADERS"]), False),
        (PingFrame(0), True),
        (SettingsFrame(0), True),
    ],
)
def test_frames_that_move_no_message_are_control_frames(frame: Frame, control: bool) -> None:
    """Empty DATA is one, with padding too (CVE-2019-9518)."""
    made, data = reader(), frame.serialize()
    made.feed(SETTINGS + data)
    made.next()
    assert made.is_control(made.next()) is control


@pytest.mark.parametrize(
    "frame",
    [DataFrame(1, b"a"), HeadersFrame(1, b"a", flags=["END_HEADERS"]), ContinuationFrame(3, b"a"), PingFrame(0)],
)
def test_a_field_section_is_continued_by_its_own_frames_only(frame: Frame) -> None:
    """RFC 9113 §6.10: any other frame, or one of another stream, is the fault of the connection."""
    with pytest.raises(FrameError) as error:
        read(section(10) + frame.serialize())
    assert error.value.code == frames.PROTOCOL_ERROR
    with pytest.raises(FrameError):
        read(SETTINGS + ContinuationFrame(1, b"a").serialize())


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (WindowUpdateFrame(1, window_increment=1).serialize(), frames.NO_ERROR),
        (b"\0\0\4\x08\0\0\0\0\1\0\0\0\0", frames.PROTOCOL_ERROR),
        (b"\0\0\4\x08\0\0\0\0\1\x80\0\0\0", frames.PROTOCOL_ERROR),
        (PriorityFrame(1, depends_on=3).serialize(), frames.NO_ERROR),
        (PriorityFrame(1, depends_on=1).serialize(), frames.PROTOCOL_ERROR),
        (b"\0\0\4\2\0\0\0\0\1\0\0\0\0", frames.FRAME_SIZE_ERROR),
        (DataFrame(1, b"a").serialize(), frames.NO_ERROR),
    ],
)
def test_some_frames_are_faults_of_their_stream(frame: bytes, code: int) -> None:
    """Credit of nothing, and a priority of another size, or of a stream below itself."""
    made = reader()
    made.feed(SETTINGS + frame)
    made.next()
    assert made.stream_error(made.next()) == code


def test_goaway_is_what_the_library_writes() -> None:
    """Its last stream, and its code."""
    assert goaway(7, 11) == GoAwayFrame(0, last_stream_id=7, error_code=11).serialize()
