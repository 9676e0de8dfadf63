"""Runs child processes that end with the benchmark, even if it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

MEASURED_CPU = 0
LOAD_CPU = 1

_TIMEOUT = 10.0  # seconds for a process to end after SIGTERM


class BenchError(Exception):
    """A measurement is not possible: a prerequisite is missing, or a server misbehaves."""


def pinned(cpu: int, command: Sequence[str]) -> list[str]:
    """Return a command that runs on one CPU and gets SIGTERM if the benchmark is killed."""
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "--cpu-list", str(cpu), *command]


@contextmanager
def running(
    command: Sequence[str], cpu: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends, with its output in `log`; then end it and all its children."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(cpu, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C reaches only the benchmark, which then stops its children in order
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TIMEOUT)
    # A worker may outlive its parent process and keep the port.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.01)
