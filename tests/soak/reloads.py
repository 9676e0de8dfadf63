"""Reloads the enforcer with a changed configuration at random intervals."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable

from harness.processes import Enforcer

_INVALID_RATE = 0.1  # of all configurations


class Reloads(threading.Thread):
    """Reloads another version of the configuration several times per second, until `end`."""

    def __init__(self, process: Enforcer, version: Callable[[int], str]) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._version = version
        self._stop_event = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._stop_event.wait(random.uniform(0.1, 0.5)):
            number += 1
            self._reload("broken" if random.random() < _INVALID_RATE else self._version(number))

    def end(self) -> None:
        """Stop, and reload the first configuration."""
        self._stop_event.set()
        self.join()
        self._reload(self._version(0))

    def _reload(self, text: str) -> None:
        self._process.config.write_text(text)
        self._process.process.send_signal(signal.SIGHUP)
