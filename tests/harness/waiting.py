"""Bounded waiting for another process or thread, by polling an observable."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMEOUT = 60.0  # seconds; only a test that fails waits as long, even on a busy machine
_PAUSE = 0.01  # seconds between two polls


def eventually(holds: Callable[[], object], timeout: float = TIMEOUT) -> bool:
    """Return whether `holds()` becomes true within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def let_pass(seconds: float) -> None:
    """Let real time pass, to test a time limit of a running process.

    A limit that must not be reached has to be several times as long, because a busy machine stretches every pause.
    """
    time.sleep(seconds)


def settled(measure: Callable[[], int], still: float = 0.3) -> int:
    """Return the value of `measure()` once it has been the same for `still` seconds."""
    value, since = measure(), time.monotonic()
    while time.monotonic() - since < still:
        time.sleep(_PAUSE)
        if (now := measure()) != value:
            value, since = now, time.monotonic()
    return value
