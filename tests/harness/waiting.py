"""Waiting for what another process or thread does: looked at until it holds, or too long."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 10.0
_PAUSE = 0.01


def eventually(holds: Callable[[], object], patience: float = PATIENCE) -> bool:
    """Tell whether `holds` becomes true within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def settled(measure: Callable[[], int], still: float = 0.3) -> int:
    """Return what `measure` gives once it has not changed for `still` seconds."""
    value, since = measure(), time.monotonic()
    while time.monotonic() - since < still:
        time.sleep(_PAUSE)
        if (now := measure()) != value:
            value, since = now, time.monotonic()
    return value
