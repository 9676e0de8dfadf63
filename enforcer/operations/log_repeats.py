"""Counts log records that repeat instead of writing each, because strangers can cause any number of them. Pure.

1. The first record of a kind is written at once. Those of the next minute are counted, and reported as one line at its
   end; if there were none, the next record counts as the first again.
2. A kind is a logger, a message template, its first argument and the type of an exception. At most `_MAX_KINDS` are
   counted separately, and all others of a logger together.
3. Debug records are never held back, nor those of loggers that report what operators cause.
"""

from __future__ import annotations

import logging
from typing import Final

PERIOD: Final = 60.0
"""Seconds for which the records of a kind are counted."""
_MAX_KINDS: Final = 500
"""Kinds that are counted separately: lines a minute. Bounds memory and the log."""
_MAX_KEY: Final = 200
"""Characters of the first argument by which kinds are told apart. Bounds memory."""

Kind = tuple[str, str, str, str]


class _Repetition:
    __slots__ = ("count", "first", "until")

    def __init__(self, first: logging.LogRecord, message: str) -> None:
        # A copy without arguments and exception, which may be large.
        self.first = logging.LogRecord(first.name, first.levelno, first.pathname, first.lineno, "%s", (message,), None)
        self.until = first.created + PERIOD
        self.count = 0


class RepeatFilter:
    """The kinds of the last minute. `each` are the loggers whose records are all written."""

    def __init__(self, each: frozenset[str]) -> None:
        self._each = each
        self._kinds: dict[Kind, _Repetition] = {}

    def admit(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record now; if not, it is counted."""
        if record.levelno <= logging.DEBUG or record.name in self._each:
            return True
        kind = _kind(record)
        if kind not in self._kinds and len(self._kinds) >= _MAX_KINDS:
            kind = record.name, "", "", ""
        repetition = self._kinds.get(kind)
        if repetition is None:
            self._kinds[kind] = _Repetition(record, record.getMessage() if kind[1] else "further messages")
            return True
        repetition.count += 1
        return False

    def summaries(self, now: float) -> list[logging.LogRecord]:
        """Return a record for each kind that was counted for a minute; `now` is in seconds since the epoch."""
        summaries = []
        for kind, repetition in [item for item in self._kinds.items() if item[1].until <= now]:
            if not repetition.count:
                del self._kinds[kind]
                continue
            record = logging.makeLogRecord(repetition.first.__dict__)
            record.args = (f"{record.getMessage()} … and {repetition.count} more in the last {PERIOD:g} s",)
            record.created = now
            summaries.append(record)
            repetition.count = 0
            repetition.until = now + PERIOD
        return summaries


def _kind(record: logging.LogRecord) -> Kind:
    arguments = record.args
    first = str(arguments[0])[:_MAX_KEY] if isinstance(arguments, tuple) and arguments else ""
    error = record.exc_info[0] if record.exc_info else None
    return record.name, str(record.msg)[:_MAX_KEY], first, "" if error is None else error.__name__
