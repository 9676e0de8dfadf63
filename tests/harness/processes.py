"""Runs the enforcer, and the demo's authorization server, as processes on free ports."""

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

from harness import forkserver
from harness.forkserver import ForkedProcess
from harness.waiting import TIMEOUT

Process = subprocess.Popen[str] | ForkedProcess
COMMAND = ("-m", "enforcer")
"""The launcher that starts the enforcer as its users do."""

_SERVING = re.compile(r"serving (?:\S+ on \S+:(\d+))?.*admin on \S+:(\d+)")
_DECISIONS = re.compile(r"decisions for (\S+) on \S+:(\d+)")
SECRET = "introspection-secret"


@dataclass
class Enforcer:
    """A running enforcer: its ports, its process, its configuration file, and the output of its log so far.

    `port` is 0 if it has no upstream; `decision_ports` are those of the decision API by contract.
    """

    port: int
    admin_port: int
    process: Process
    config: Path
    lines: list[str] = field(default_factory=list)
    decision_ports: dict[str, int] = field(default_factory=dict)

    def log(self) -> str:
        """Return everything logged so far."""
        while output := _read_log(self.process, 0.0):
            self.lines.append(output)
        return "".join(self.lines)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT)


def _read_log(process: Process, timeout: float) -> str:
    """Return the next output of a process; empty if there is none within `timeout` seconds, or if it has ended."""
    assert process.stderr is not None
    # Read the descriptor, because the stream buffers: select would not see lines that it holds back.
    descriptor = process.stderr.fileno()
    return os.read(descriptor, 65536).decode() if select.select([descriptor], [], [], timeout)[0] else ""


@contextmanager
def enforcer(
    config: str | Path, environment: Mapping[str, str] | None = None, launcher: Sequence[str] | None = None
) -> Iterator[Enforcer]:
    """Run an enforcer until the block ends; `config` is a text or a file, with port 0 in its addresses.

    It is forked from a process that has imported the program, unless `launcher` are Python's own arguments.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = config if isinstance(config, Path) else Path(folder) / "config.yaml"
        if isinstance(config, str):
            path.write_text(config)
        process = _start(
            ["run", str(path)], {**os.environ, "ENFORCER_CLIENT_SECRET": SECRET, **(environment or {})}, launcher
        )
        assert process.stderr is not None
        lines: list[str] = []
        deadline = time.monotonic() + TIMEOUT
        try:
            while True:
                output = _read_log(process, max(0.0, deadline - time.monotonic()))
                if not output:
                    raise AssertionError("the enforcer did not start:\n" + "".join(lines))
                lines.append(output)
                if ports := _SERVING.search("".join(lines)):
                    doors = {name: int(port) for name, port in _DECISIONS.findall(ports[0])}
                    yield Enforcer(int(ports[1] or 0), int(ports[2]), process, path, lines, doors)
                    return
        finally:
            process.kill()
            process.wait(TIMEOUT)
            process.stderr.close()


def _start(arguments: Sequence[str], environment: Mapping[str, str], launcher: Sequence[str] | None) -> Process:
    if launcher is None:
        return forkserver.start(arguments, environment)
    command = [sys.executable, *launcher, *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, bufsize=1, env=environment)


@contextmanager
def authorization_server(*arguments: str) -> Iterator[str]:
    """Run the demo's authorization server on a free port until the block ends, and yield its issuer identifier."""
    command = [sys.executable, "-m", "authserver", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            issuer = re.search(r" as (\S+)$", process.stderr.readline())
            assert issuer is not None
            yield issuer[1]
        finally:
            process.terminate()
