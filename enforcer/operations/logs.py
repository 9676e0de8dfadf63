"""Log lines, for people or for machines."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal


def rfc3339(time: float) -> str:
    """Write seconds since the epoch as a date and time (RFC 3339)."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time` (RFC 3339), `level`, `logger`, `message`, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
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
    """Log to standard error, from `level` on."""
    handler = logging.StreamHandler()
    text = logging.Formatter("{asctime} {levelname:7} {name}: {message}", style="{")
    handler.setFormatter(JsonFormatter() if style == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What the server says of its own coming and going is said here already.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
