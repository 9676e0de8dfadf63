"""Writing the decision log."""

import io
import os
import threading
from collections import deque

import pytest
from harness.waiting import eventually

from enforcer.decision_log.record import DecisionRecord, LogLine, parse
from enforcer.operations.decision_log_writer import DecisionLogWriter


def decisions(count: int) -> deque[DecisionRecord]:
    return deque(
        DecisionRecord(
            1_700_000_000.0 + number, None, b"GET", b"/%d" % number, [], None, ("allow", "ok"), None, None, None
        )
        for number in range(count)
    )


def paths(text: str) -> list[str]:
    records = [parse(line.encode()) for line in text.splitlines()]
    assert all(isinstance(record, LogLine) for record in records)
    return [record.path for record in records if record is not None]


def test_decisions_are_written_in_order_one_per_line() -> None:
    """All of them, also more than one batch, each with its time."""
    stream, backlog = io.StringIO(), decisions(1200)
    writer = DecisionLogWriter(backlog, stream)
    writer.tick(0.0)
    assert eventually(lambda: not backlog)
    backlog.extend(decisions(3))
    writer.close()
    assert paths(stream.getvalue()) == [f"/{number}" for number in (*range(1200), *range(3))]
    assert '"time": "2023-11-14T22:13:20.000+00:00"' in stream.getvalue()


def test_without_a_decision_no_thread_is_started() -> None:
    """And nothing is written."""
    stream = io.StringIO()
    threads = threading.active_count()
    writer = DecisionLogWriter(deque(), stream)
    writer.tick(0.0)
    assert threading.active_count() == threads
    writer.close()
    assert stream.getvalue() == ""


def test_a_slow_reader_blocks_neither_tick_nor_close() -> None:
    """`close` waits for its timeout at most."""
    reading, writing = os.pipe()
    with open(reading) as slow, open(writing, "w") as stream:
        backlog = decisions(2000)
        writer = DecisionLogWriter(backlog, stream)
        writer.tick(0.0)
        assert eventually(lambda: len(backlog) < 2000)
        backlog.extend(decisions(1))
        writer.tick(0.0)
        writer.close()
        assert backlog
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(slow.readline() for _ in range(2001)))
        reader.start()
        reader.join(10)
        assert paths("".join(lines)) == [f"/{number}" for number in (*range(2000), 0)]
        assert eventually(lambda: not any(thread.name == "decision log" for thread in threading.enumerate()))


@pytest.mark.parametrize("broken", ["closed", "nobody reads"])
def test_a_broken_stream_is_ignored(broken: str) -> None:
    """There is nowhere to report it."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:
        if broken == "closed":
            stream.close()
        backlog = decisions(600)
        writer = DecisionLogWriter(backlog, stream)
        writer.close()
        assert not backlog
