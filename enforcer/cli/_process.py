"""Processes that a command starts, watches and stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_GRACE: Final = 10.0
"""Seconds that a process has to end by itself: none of ours needs as much, and nobody waits longer."""
_LAST: Final = 10
"""Lines of a log that tell why its process ended."""


class Child:
    """A Python module that runs as a process of its own, its output in a file.

    It leads a process group, so that Ctrl-C in the terminal reaches the command alone, which then stops it in turn.
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
    def end(self) -> str | None:
        """How it ended, in words; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def last_lines(self) -> str:
        """Return what it said last."""
        lines = self._log.read_text("utf-8", "replace").splitlines()[-_LAST:]
        return "\n".join(f"  {line}" for line in lines) or "  (nothing)"

    def stop(self) -> None:
        """End it as Ctrl-C would, and with SIGKILL when that is not heard."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
