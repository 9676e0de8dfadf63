"""Formats of the log: text for people, JSON for programs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal


def rfc3339(time: float) -> str:
    """Format seconds since the epoch as a date and time (RFC 3339)."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (RFC 3339), `level`, `logger`, `message`, and `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one JSON object."""
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(level: str, style: Literal["text", "json"]) -> None:
    """Log to standard error, `level` and above."""
    handler = logging.StreamHandler()
    text = logging.Formatter("{asctime} {levelname:7} {name}: {message}", style="{")
    handler.setFormatter(JsonFormatter() if style == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # uvicorn's messages about start and stop would repeat our own.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
