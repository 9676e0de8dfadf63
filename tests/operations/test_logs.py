"""Formats of the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from enforcer.operations import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restore the loggers that `configure` changes."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn.error")
    before = root.level, root.handlers[:], uvicorn.level
    yield
    root.level, root.handlers[:], uvicorn.level = before


def record(message: str, *arguments: object, error: Exception | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("enforcer", logging.WARNING, "file.py", 1, message, arguments, info)
    made.created = 1_700_000_000.25
    return made


def test_json_is_one_object_per_line() -> None:
    """A line break in the message does not end the line."""
    line = logs.JsonFormatter().format(record("first\nsecond: %d", 2))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "warning",
        "logger": "enforcer",
        "message": "first\nsecond: 2",
    }


def test_json_has_the_exception() -> None:
    """As a member of the same object."""
    document = json.loads(logs.JsonFormatter().format(record("failed", error=ValueError("broken"))))
    assert document["exception"] == "ValueError: broken"


@pytest.mark.parametrize(("style", "start"), [("json", '{"time": "20'), ("text", "20")])
def test_the_log_goes_to_standard_error_from_its_level_on(
    style: object, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lower levels are left out; standard output stays empty."""
    logs.configure("warning", style)  # type: ignore[arg-type]
    logging.getLogger("enforcer").info("left out")
    logging.getLogger("enforcer").warning("written")
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(start)
    assert ("written" in output.err, "left out" in output.err) == (True, False)
