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
        stream = self.process.stderr
        assert stream is not None
        while select.select([stream], [], [], 0)[0] and (line := stream.readline()):
            self.lines.append(line)
        return "".join(self.lines)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)


@contextmanager
def enforcer(
    config: str, environment: Mapping[str, str] | None = None, launcher: Sequence[str] = ("-m", "enforcer")
) -> Iterator[Enforcer]:
    """Run an enforcer by `config`, whose addresses are best `127.0.0.1:0`, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
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
                ready = select.select([process.stderr], [], [], deadline - time.monotonic())[0]
                line = process.stderr.readline() if ready else ""
                if not line:
                    raise AssertionError("the enforcer did not start:\n" + "".join(lines))
                lines.append(line)
                if found := _SERVING.search(line):
                    yield Enforcer(int(found[2]), int(found[4]), process, path, lines)
                    return
        finally:
            process.kill()
            process.wait(_PATIENCE)
            process.stderr.close()
