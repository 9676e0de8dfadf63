"""Child processes of a command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_GRACE: Final = 10.0
"""Seconds for a process to end after SIGINT, before SIGKILL. None of ours needs as long."""
_LAST_LINES: Final = 10
"""Lines of its log that are shown if a process ends early."""


class Child:
    """A Python module that runs as a child process, with its output in a file.

    It leads its own process group, so that Ctrl-C in the terminal reaches only the command, which then stops it.
    """

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                process_group=0,
            )

    @property
    def outcome(self) -> str | None:
        """A text that says how the process ended; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def last_lines(self) -> str:
        """Return the last lines of its log, indented."""
        lines = self._log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (nothing)"

    def stop(self) -> None:
        """Stop the process with SIGINT, or with SIGKILL if it does not end in time."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
