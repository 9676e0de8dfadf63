"""The writer thread."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import pytest
from harness.waiting import eventually

from enforcer.operations.writer import WriterThread


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


def queue_of(writer: WriterThread, *lines: bytes) -> deque[bytes]:
    """Add a source that returns a line in each call."""
    queue = deque(lines)
    writer.add(lambda: queue.popleft() if queue else b"")
    return queue


def test_everything_before_close_is_written(pipe: tuple[int, int]) -> None:
    """From all sources, each in its order."""
    writer = WriterThread(pipe[1])
    first, second = queue_of(writer, b"a1\n", b"a2\n"), queue_of(writer, b"b1\n")
    writer.wake()
    assert eventually(lambda: not first and not second)
    second.append(b"b2\n")
    writer.close()
    assert sorted(os.read(pipe[0], 100).splitlines()) == [b"a1", b"a2", b"b1", b"b2"]


def test_no_thread_is_started_before_it_is_needed() -> None:
    """Closing it is harmless."""
    threads = threading.active_count()
    writer = WriterThread(2)
    assert threading.active_count() == threads
    writer.close()


@pytest.mark.parametrize("blocking", [True, False], ids=["a pipe", "a pipe that another process made non-blocking"])
def test_a_reader_that_stops_blocks_only_the_thread(pipe: tuple[int, int], blocking: bool) -> None:
    """`close` gives up after its timeout, and nothing is lost if the reader goes on."""
    os.set_blocking(pipe[1], blocking)
    writer = WriterThread(pipe[1])
    queue = queue_of(writer, *[b"%07d\n" % number for number in range(20_000)])  # more than a pipe holds
    writer.wake()
    writer.close()
    assert queue
    data = b""
    while data.count(b"\n") < 20_000:
        data += os.read(pipe[0], 65_536)
    assert data.splitlines() == [b"%07d" % number for number in range(20_000)]
    assert eventually(lambda: not any(thread.name == "writer" for thread in threading.enumerate()))


def test_without_a_reader_lines_are_discarded(pipe: tuple[int, int]) -> None:
    """There is nowhere to report it."""
    os.close(pipe[0])
    writer = WriterThread(pipe[1])
    queue = queue_of(writer, b"a\n", b"b\n")
    writer.wake()
    writer.close()
    assert not queue


def test_a_broken_source_does_not_stop_the_others(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    """Its error is logged."""
    writer = WriterThread(pipe[1])
    writer.add(lambda: b"%d" % (1 // 0))
    queue_of(writer, b"a\n", b"b\n")
    writer.wake()
    writer.close()
    assert os.read(pipe[0], 100) == b"a\nb\n"
    assert "internal error" in caplog.text
