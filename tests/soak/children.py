"""The servers around the enforcer: real processes, killed and restarted at random."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.ports import unused_ports
from harness.waiting import eventually

_ROOT = Path(__file__).parent.parent


class Child:
    """A server on a port of its own, that it has again when it is started again."""

    def __init__(self, application: str, violations: Path) -> None:
        (self.port,) = unused_ports(1)
        listening = ["--host", "127.0.0.1", "--port", str(self.port), "--no-access-log", "--log-level", "critical"]
        self._command = [sys.executable, "-m", "uvicorn", *listening, "--ws", "websockets-sansio", application]
        self._environment = {**os.environ, "PYTHONPATH": str(_ROOT), "VIOLATIONS": str(violations)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        self._process = subprocess.Popen(self._command, env=self._environment, stderr=subprocess.DEVNULL)
        assert eventually(self._accepts, 30)

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def running(application: str, violations: Path) -> Iterator[Child]:
    """Run a server until the block ends."""
    child = Child(application, violations)
    try:
        child.start()
        yield child
    finally:
        child.kill()


class Outages(threading.Thread):
    """Kills one of the servers every few seconds, and starts it again at once or a little later, until told to end."""

    def __init__(self, children: list[Child]) -> None:
        super().__init__(daemon=True)
        self._children = children
        self._over = threading.Event()
        self.count = 0

    def run(self) -> None:
        while not self._over.wait(random.uniform(2, 8)):
            child = random.choice(self._children)
            child.kill()
            self.count += 1
            self._over.wait(random.choice((0, 0.5, 2)))
            child.start()

    def end(self) -> None:
        """Kill no more; all servers run."""
        self._over.set()
        self.join()
