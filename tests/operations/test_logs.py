"""The log: its formats, its queue, and what strangers cannot do to it."""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from harness.process_state import restored_loggers

import enforcer
from enforcer.operations import logs
from enforcer.operations.logs import JsonFormatter, LogOutput, TextFormatter
from enforcer.settings.log import Log

ROOT = Path(enforcer.__file__).parent
HOSTILE = "a\r\nb\x1b[31m\x00\x85\u2028\u202e\u2066\ud800c"
ESCAPED = r"a\r\nb\x1b[31m\x00\x85\u2028\u202e\u2066\ud800c"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restore the loggers that `configure` changes."""
    with restored_loggers():
        yield


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def record(message: str, *arguments: object, error: Exception | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("enforcer", logging.WARNING, "file.py", 1, message, arguments, info)
    made.created = 1_700_000_000.25
    return made


def test_json_is_one_object_per_line() -> None:
    """With the time in UTC."""
    line = JsonFormatter().format(record("first\nsecond: %d", 2))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "warning",
        "logger": "enforcer",
        "message": r"first\nsecond: 2",
    }


def test_json_has_the_exception() -> None:
    """As a member of the same object."""
    document = json.loads(JsonFormatter().format(record("failed", error=ValueError("broken"))))
    assert document["exception"] == "ValueError: broken"


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_values_from_outside_forge_no_line_and_control_no_terminal(formatter: logging.Formatter) -> None:
    """Line breaks, escape sequences and marks of direction are escaped, in messages and in exceptions."""
    text = formatter.format(record("upstream: %s", HOSTILE, error=ValueError(HOSTILE)))
    first, *others = text.split("\n")
    if isinstance(formatter, JsonFormatter):
        assert others == []
        document = json.loads(first)
        assert document["message"] == f"upstream: {ESCAPED}"
        text = document["exception"].replace("\n", "")
    else:
        assert first.endswith(f"upstream: {ESCAPED}")
        assert others
        assert all(line.startswith("  ") for line in others)
        text = "".join(others)
    assert text.isprintable()
    assert r"\x1b[31m" in text


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_the_length_of_a_record_is_bounded(formatter: logging.Formatter) -> None:
    """Of the message and of the exception: their beginnings and ends are kept."""
    text = formatter.format(record("<%s>", "a" * 10**6, error=ValueError("b" * 10**6)))
    assert len(text) < 30_000
    assert " … 995906 characters … " in text or "995906 characters" in text
    assert "ValueError" in text


def read(pipe: tuple[int, int]) -> list[str]:
    return os.read(pipe[0], 1 << 20).decode().splitlines()


@pytest.mark.parametrize(("style", "start"), [("json", '{"time": "20'), ("text", "20")])
def test_the_log_has_the_records_from_its_level_on(
    style: Literal["text", "json"], start: str, pipe: tuple[int, int]
) -> None:
    """Lower levels are left out. A reload changes level and format."""
    with LogOutput(Log(level="warning", format=style), pipe[1]) as output:
        logging.getLogger("enforcer").info("left out")
        logging.getLogger("enforcer").warning("written")
        output.configure(Log(level="info"))
        logging.getLogger("enforcer").info("then written")
    first, second = read(pipe)
    assert first.startswith(start)
    assert "written" in first
    assert second.endswith("INFO    enforcer: then written")


def test_a_full_queue_drops_lines_and_says_how_many(pipe: tuple[int, int]) -> None:
    """Logging never waits for the reader. Once the queue is empty, the log says how many are missing."""
    output = LogOutput(Log(buffer=10_000), pipe[1])
    logger = logging.getLogger("enforcer")
    for number in range(3000):  # far more than a pipe and the queue hold
        logger.info("line %d %s", number, "x" * 100)
    assert output.dropped > 1000
    lines: list[str] = []
    reported = 0
    while reported < output.dropped:
        lines += os.read(pipe[0], 65_536).decode().splitlines(keepends=True)
        reported = sum(map(int, re.findall(r"enforcer: (\d+) lines of the log were dropped", "".join(lines))))
    output.writer.close()
    assert "".join(lines).count(": line ") + output.dropped == 3000


def test_a_record_that_cannot_be_formatted_raises_nothing(pipe: tuple[int, int]) -> None:
    """It is counted as dropped: the request that logs it goes on."""
    with LogOutput(Log(), pipe[1]) as output:
        logging.getLogger("enforcer").warning("%d", "text")
        assert output.dropped == 1
        logging.getLogger("enforcer").warning("next")
    assert read(pipe)[0].endswith("next")


def test_repeated_records_are_counted(pipe: tuple[int, int]) -> None:
    """Of all loggers but those that report what operators do."""
    with LogOutput(Log(), pipe[1]):
        for _ in range(5):
            logging.getLogger("enforcer.proxy").warning("upstream %s: %s", "app", "refused")
            logging.getLogger("enforcer").warning("reloaded")
    lines = read(pipe)
    assert sum("refused" in line for line in lines) == 1
    assert sum("reloaded" in line for line in lines) == 5


def test_the_times_are_rfc_3339() -> None:
    """In UTC, with milliseconds."""
    assert logs.rfc3339(1_700_000_000.25) == "2023-11-14T22:13:20.250+00:00"


def test_warnings_of_python_are_logged(pipe: tuple[int, int]) -> None:
    """They would be written to standard error on the event loop."""
    with LogOutput(Log(), pipe[1]), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    assert "old" in read(pipe)[0]


@pytest.mark.parametrize("room", ["decision_log", "operations", "policy", "proxy", "tokens", "wire"])
def test_no_room_that_serves_strangers_uses_a_logger_without_limit(room: str) -> None:
    """Such a logger is for reports on what operators do: start, reload, stop."""
    sources = [path.read_text() for path in (ROOT / room).rglob("*.py")]
    names = {name for source in sources for name in re.findall(r"getLogger\(\"([^\"]+)\"\)", source)}
    assert not names & logs.UNLIMITED
