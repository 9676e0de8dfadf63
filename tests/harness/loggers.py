"""Loggers, which belong to the whole process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def restored_loggers() -> Iterator[None]:
    """Restore the loggers that a log output changes."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn.error")
    before = root.level, root.handlers[:], uvicorn.level
    try:
        yield
    finally:
        root.level, root.handlers[:], uvicorn.level = before
        logging.captureWarnings(False)
