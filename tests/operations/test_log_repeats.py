"""Counting records that repeat."""

from __future__ import annotations

import logging

import pytest

from enforcer.operations.log_repeats import PERIOD, RepeatFilter

START = 1_700_000_000.0


def record(
    message: str = "upstream %s: %s",
    *arguments: object,
    after: float = 0.0,
    name: str = "enforcer.proxy",
    level: int = logging.WARNING,
    error: Exception | None = None,
) -> logging.LogRecord:
    info = None if error is None else (type(error), error, None)
    made = logging.LogRecord(name, level, "file.py", 1, message, arguments, info)
    made.created = START + after
    return made


def failure(after: float, upstream: str = "app:80") -> logging.LogRecord:
    return record("upstream %s: %s", upstream, f"reset after {after} s", after=after)


def summaries(repeats: RepeatFilter, after: float) -> list[str]:
    return [summary.getMessage() for summary in repeats.summaries(START + after)]


def test_a_flood_is_one_line_and_one_summary_a_minute() -> None:
    """The first record is written at once; a minute without one ends the flood."""
    repeats = RepeatFilter(frozenset())
    assert [repeats.admit(failure(number / 100)) for number in range(607)] == [True, *[False] * 606]
    assert summaries(repeats, PERIOD - 0.1) == []
    assert summaries(repeats, PERIOD) == ["upstream app:80: reset after 0.0 s … and 606 more in the last 60 s"]
    assert not repeats.admit(failure(PERIOD + 1))
    assert summaries(repeats, 2 * PERIOD) == ["upstream app:80: reset after 0.0 s … and 1 more in the last 60 s"]
    assert summaries(repeats, 3 * PERIOD) == []
    assert repeats.admit(failure(3 * PERIOD + 1))


def test_a_summary_has_the_level_and_logger_of_its_records() -> None:
    """Its time is that of the summary."""
    repeats = RepeatFilter(frozenset())
    for _ in range(2):
        repeats.admit(record("broken: %d", 7, level=logging.ERROR))
    (summary,) = repeats.summaries(START + PERIOD)
    assert (summary.name, summary.levelname, summary.created) == ("enforcer.proxy", "ERROR", START + PERIOD)


def test_kinds_are_counted_separately() -> None:
    """By logger, template, first argument and type of exception."""
    repeats = RepeatFilter(frozenset())
    kinds = [
        failure(0),
        failure(0, "other:80"),
        record("upstream %s responds again", "app:80"),
        record("internal error", error=ValueError("a")),
        record("internal error", error=KeyError("a")),
        record("internal error", name="enforcer.tokens"),
    ]
    assert all(repeats.admit(kind) for kind in kinds)
    assert not any(repeats.admit(kind) for kind in kinds)


def test_the_number_of_kinds_is_bounded() -> None:
    """A stranger who can choose a part of a message gets a bounded number of lines a minute, too."""
    repeats = RepeatFilter(frozenset())
    written = sum(repeats.admit(failure(0, f"name {number}" + "x" * 10_000)) for number in range(5000))
    assert written == 501
    assert len(summaries(repeats, PERIOD)) == 1
    assert summaries(repeats, 2 * PERIOD) == []
    assert repeats.admit(failure(2 * PERIOD, "another"))


@pytest.mark.parametrize(("name", "level"), [("enforcer", logging.ERROR), ("enforcer.proxy", logging.DEBUG)])
def test_what_operators_cause_and_debug_records_are_all_written(name: str, level: int) -> None:
    """Each reload is reported, and who sets the level debug wants every record."""
    repeats = RepeatFilter(frozenset({"enforcer"}))
    assert all(repeats.admit(record("the same", name=name, level=level)) for _ in range(5))
    assert summaries(repeats, PERIOD) == []
