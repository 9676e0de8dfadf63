"""Runs the demo's authorization server and country app as processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listening(module: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `python -m MODULE` on a free port until the block ends; yields the process and its first log line.

    The server logs this line when its port accepts connections. It contains the port.
    """
    command = [sys.executable, "-m", module, "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process, process.stderr.readline()
        finally:
            process.kill()
