"""The programs of others that are needed, where to get them, and how they are called."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PATIENCE: Final = 1800.0
"""Seconds for one program: the slowest of them compiles an API server."""


class ToolError(Exception):
    """A program is missing, or did not do as asked."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, and how to get it."""

    name: str
    source: str


def debian(package: str) -> str:
    """Say how to get a package of Debian."""
    return f"apt-get install {package}"


def demand(*tools: Tool) -> None:
    """Raise ToolError, which names all that is missing, unless everything is there and we are root on Linux."""
    # A login shell of root has these, and not every other way to become root.
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin"
    missing = [f"{tool.name} is missing: {tool.source}" for tool in tools if shutil.which(tool.name) is None]
    if not Path("/proc/self/ns/net").exists():
        missing.insert(0, "this needs Linux")
    elif os.geteuid() != 0:
        missing.insert(0, "this needs root: run it with sudo, or as root")
    if missing:
        raise ToolError("\n".join(missing))


def run(
    *command: str | Path,
    given: str | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program to its end, and return what it wrote; raises ToolError with what it said where it failed."""
    ended = attempt(*command, given=given, environment=environment, folder=folder)
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip()
        raise ToolError(f"{' '.join(map(str, command))}\nended with {ended.returncode}: {said}")
    return ended.stdout


def attempt(
    *command: str | Path,
    given: str | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program that may fail."""
    return subprocess.run(  # noqa: S603 - our own command lines
        [*map(str, command)],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        check=False,
    )


def polite(command: Sequence[str | Path]) -> list[str]:
    """Let others on this machine go first."""
    return ["nice", "-n", "19", *map(str, command)]
