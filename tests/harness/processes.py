"""Runs the enforcer as a process of its own, on free ports."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 20.0  # seconds until a process that is not ready is taken to be broken
_SERVING = re.compile(r"serving \S+ on (\S+):(\d+), admin on (\S+):(\d+)")
SECRET = "introspection-secret"


@dataclass
class Enforcer:
    """A running enforcer: its ports, its process, and what it has logged so far."""

    port: int
    admin_port: int
    process: subprocess.Popen[str]
    config: Path
    lines: list[str] = field(default_factory=list)

    def log(self) -> str:
        """Return all that it has logged until now."""
        while more := _logged(self.process, 0.0):
            self.lines.append(more)
        return "".join(self.lines)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)


def _logged(process: subprocess.Popen[str], patience: float) -> str:
    """Return what a process logs next; nothing where there is nothing within `patience` seconds, or no more at all."""
    assert process.stderr is not None
    # Not by the stream, which reads more than it returns: what it holds back could not be waited for.
    descriptor = process.stderr.fileno()
    return os.read(descriptor, 65536).decode() if select.select([descriptor], [], [], patience)[0] else ""


@contextmanager
def enforcer(
    config: str | Path, environment: Mapping[str, str] | None = None, launcher: Sequence[str] = ("-m", "enforcer")
) -> Iterator[Enforcer]:
    """Run an enforcer by `config`, a text or a file, whose addresses are best `127.0.0.1:0`, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = config if isinstance(config, Path) else Path(folder) / "config.yaml"
        if isinstance(config, str):
            path.write_text(config)
        process = subprocess.Popen(
            [sys.executable, *launcher, "run", str(path)],
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "ENFORCER_CLIENT_SECRET": SECRET, **(environment or {})},
        )
        assert process.stderr is not None
        lines: list[str] = []
        deadline = time.monotonic() + _PATIENCE
        try:
            while True:
                more = _logged(process, max(0.0, deadline - time.monotonic()))
                if not more:
                    raise AssertionError("the enforcer did not start:\n" + "".join(lines))
                lines.append(more)
                if found := _SERVING.search("".join(lines)):
                    yield Enforcer(int(found[2]), int(found[4]), process, path, lines)
                    return
        finally:
            process.kill()
            process.wait(_PATIENCE)
            process.stderr.close()


@contextmanager
def authorization_server(*arguments: str) -> Iterator[str]:
    """Run the authorization server for development on a free port until the block ends, and give its issuer."""
    command = [sys.executable, "-m", "authserver", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = re.search(r" as (\S+)$", process.stderr.readline())
            assert found is not None
            yield found[1]
        finally:
            process.terminate()
