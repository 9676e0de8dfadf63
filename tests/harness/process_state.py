"""State that belongs to the whole process, and that a test must leave as it was."""

from __future__ import annotations

import logging
import signal
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


@contextmanager
def restored_signals() -> Iterator[None]:
    """Restore the handlers of the signals that stop a program."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
