"""The configuration of the enforcer, changed under it at random."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable

from harness.processes import Enforcer

_BROKEN = 0.1  # of all configurations


class Reloads(threading.Thread):
    """Has another version of the configuration read several times a second, until told to end."""

    def __init__(self, process: Enforcer, version: Callable[[int], str]) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._version = version
        self._over = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._over.wait(random.uniform(0.1, 0.5)):
            number += 1
            self._read("broken" if random.random() < _BROKEN else self._version(number))

    def end(self) -> None:
        """Change it no more, and leave the one that it began with."""
        self._over.set()
        self.join()
        self._read(self._version(0))

    def _read(self, text: str) -> None:
        self._process.config.write_text(text)
        self._process.process.send_signal(signal.SIGHUP)
