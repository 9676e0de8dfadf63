"""The log: text for people or JSON for programs, a line for each record, written by a thread of its own.

1. Logging never blocks the event loop: lines wait in a queue that is bounded in bytes (`log.buffer`). A line that does
   not fit is dropped, and counted in a metric and in the log.
2. No record looks like two, or controls a terminal: characters that are not printable are escaped, also in exceptions.
3. Records that repeat are counted, because strangers can cause any number of them (`log_repeats`).
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final

from enforcer.analysis.rule_yaml import printable
from enforcer.operations.log_repeats import RepeatFilter
from enforcer.operations.writer import WriterThread
from enforcer.settings.log import Log

_MAX_MESSAGE: Final = 4096
"""Characters of a message. A peer may choose a part of it, such as the reason of a failure."""
_MAX_EXCEPTION: Final = 16_384
"""Characters of an exception with its traceback."""
_BATCH: Final = 65_536
"""Bytes for one write call."""
UNLIMITED: Final = frozenset({"enforcer", "enforcer.webhook"})
"""Loggers of what operators cause, and of the reviews that an API server asks for: every record is written."""
_STANDARD_ERROR: Final = 2


def rfc3339(seconds: float) -> str:
    """Format seconds since the epoch as a date and time (RFC 3339)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _shortened(text: str, maximum: int) -> str:
    """Leave out the middle of a text that is too long: the end of a traceback says the most."""
    if len(text) <= maximum:
        return text
    half = maximum // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


class TextFormatter(logging.Formatter):
    """A line of time, level, logger and message, and an indented line for each line of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text. Only its first line is not indented, whatever the message contains."""
        message = printable(_shortened(record.getMessage(), _MAX_MESSAGE))
        lines = [f"{self.formatTime(record)} {record.levelname:7} {record.name}: {message}"]
        if record.exc_info:
            exception = _shortened(self.formatException(record.exc_info), _MAX_EXCEPTION)
            lines += [f"  {printable(line)}" for line in exception.split("\n")]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (RFC 3339), `level`, `logger`, `message`, and `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one JSON object."""
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(_shortened(record.getMessage(), _MAX_MESSAGE)),
        }
        if record.exc_info:
            exception = _shortened(self.formatException(record.exc_info), _MAX_EXCEPTION)
            line["exception"] = "\n".join(map(printable, exception.split("\n")))
        return json.dumps(line)


_CONFIDENTIAL: Final = ("hpack", "httpcore", "httpx")
"""Libraries that log fields at level debug, tokens included (of HTTP/2), and each relayed probe."""


class LogOutput(logging.Handler):
    """Queues the lines of all records for `writer`. A context: at its end the last lines are written.

    `dropped` is the number of lines that found the queue full.
    """

    def __init__(self, settings: Log, descriptor: int = _STANDARD_ERROR) -> None:
        super().__init__()
        self.dropped = 0
        self._reported = 0
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._buffer = settings.buffer
        self._repeats = RepeatFilter(UNLIMITED)
        self.writer = WriterThread(descriptor)
        self.writer.add(self._take)
        self.configure(settings)

    def __enter__(self) -> LogOutput:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def configure(self, settings: Log) -> None:
        """Log as the settings say, from the next record on."""
        self._buffer = settings.buffer
        self.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
        root = logging.getLogger()
        root.handlers[:] = [self]
        root.setLevel(settings.level.upper())
        logging.captureWarnings(True)
        # uvicorn's messages about start and stop would repeat our own.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        for name in _CONFIDENTIAL:
            logging.getLogger(name).setLevel(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record. The caller holds the handler's lock."""
        try:
            if self._repeats.admit(record):
                self._append(record)
                self.writer.wake()
        except Exception:  # noqa: BLE001 - a record that cannot be formatted must not fail what it reports
            self.dropped += 1

    def _append(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        if self._size + len(line) > self._buffer:
            self.dropped += 1
        else:
            self._lines.append(line)
            self._size += len(line)

    def _take(self) -> bytes:
        """Return the next lines. Called on the writer thread."""
        self.acquire()
        try:
            for summary in self._repeats.summaries(time.time()):
                self._append(summary)
            batch: list[bytes] = []
            size = 0
            while self._lines and size < _BATCH:
                batch.append(self._lines.popleft())
                size += len(batch[-1])
            self._size -= size
            if not self._lines and self.dropped > self._reported:
                self._report_dropped()
            return b"".join(batch)
        finally:
            self.release()

    def _report_dropped(self) -> None:
        count, self._reported = self.dropped - self._reported, self.dropped
        message = "%d lines of the log were dropped, because standard error was read too slowly"
        self._append(logging.LogRecord("enforcer", logging.WARNING, __file__, 0, message, (count,), None))
