"""External programs: checks that they are installed, and runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TIMEOUT: Final = 1800.0
"""Timeout of one program, in seconds: the slowest one compiles an API server."""


class ToolError(Exception):
    """A program that is missing or failed."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program and how to install it."""

    name: str
    source: str


def debian(package: str) -> str:
    """Return the command that installs a Debian package."""
    return f"apt-get install {package}"


def missing(*tools: Tool) -> list[str]:
    """Return a line for each program that is not installed, with the way to install it."""
    return [f"{tool.name} is missing: {tool.source}" for tool in tools if shutil.which(tool.name) is None]


def demand(*tools: Tool) -> None:
    """Raise ToolError if a program is missing, or if this is not root on Linux; the message has all problems."""
    # A root login shell has these folders in its PATH; sudo, for example, may not.
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"
    problems = missing(*tools)
    if not Path("/proc/self/ns/net").exists():
        problems.insert(0, "this needs Linux")
    elif os.geteuid() != 0:
        problems.insert(0, "this needs root: run it with sudo, or as root")
    if problems:
        raise ToolError("\n".join(problems))


def run(
    *command: str | Path,
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program with `text` as its standard input; return its output, or raise ToolError with its error output."""
    process = attempt(*command, text=text, environment=environment, folder=folder)
    if process.returncode:
        output = (process.stderr or process.stdout).strip()
        raise ToolError(f"{' '.join(map(str, command))}\nended with {process.returncode}: {output}")
    return process.stdout


def attempt(
    *command: str | Path,
    text: str | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program that may fail; `text` is its standard input. Raises ToolError if it does not end."""
    try:
        return subprocess.run(  # noqa: S603 - our own command lines
            [*map(str, command)],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"{' '.join(map(str, command))}\ndid not end within {_TIMEOUT:.0f} s") from None


def polite(command: Sequence[str | Path]) -> list[str]:
    """Return the command with a low priority, so that other processes are slowed down little.

    The lowest one would get almost no time on a busy machine, and reach the timeout.
    """
    return ["nice", "-n", "5", *map(str, command)]
