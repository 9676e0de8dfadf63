"""The lines of the decision log."""

from __future__ import annotations

import os
import threading
from collections import deque

from harness.waiting import TIMEOUT, eventually

from enforcer.decision_log.record import DecisionRecord, LogLine, parse
from enforcer.operations.decision_log_writer import DecisionLogWriter
from enforcer.operations.writer import WriterThread


def decisions(count: int) -> deque[DecisionRecord]:
    return deque(
        DecisionRecord(1_700_000_000.0 + number, None, b"GET", b"/%d" % number, None, ("allow", "ok"), None, None, None)
        for number in range(count)
    )


def paths(text: bytes) -> list[str]:
    records = [parse(line) for line in text.splitlines()]
    assert all(isinstance(record, LogLine) for record in records)
    return [record.path for record in records if record is not None]


def test_decisions_are_written_in_order_one_per_line() -> None:
    """All of them, also more than one batch, each with its time."""
    reading, writing = os.pipe()
    written = bytearray()

    def read() -> None:
        while data := os.read(reading, 65_536):
            written.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    backlog, writer = decisions(1200), WriterThread(writing)
    log = DecisionLogWriter(backlog, writer)
    log.tick(0.0)
    assert eventually(lambda: not backlog)
    backlog.extend(decisions(3))
    writer.close()
    os.close(writing)
    reader.join(TIMEOUT)
    os.close(reading)
    assert paths(bytes(written)) == [f"/{number}" for number in (*range(1200), *range(3))]
    assert b'"time": "2023-11-14T22:13:20.000+00:00"' in written


def test_without_a_decision_the_writer_is_not_woken() -> None:
    """So no thread is started."""
    threads = threading.active_count()
    DecisionLogWriter(deque(), WriterThread(2)).tick(0.0)
    assert threading.active_count() == threads
