"""`enforcer drain`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

import click

PROCESSES: Final = Path("/proc")


@click.command(name="drain")
def command() -> None:
    """Start the shutdown of every `enforcer run` in this container, or on this machine, without ending it.

    This cannot be undone: the enforcer reports not ready until SIGTERM ends it. Use it as the preStop hook of a native
    sidecar, which gets SIGTERM only after the app has ended: too late to send clients elsewhere.

    Exit codes: 0 every enforcer was signalled, 1 there is none, or one is still starting and was not signalled.

    \b
    Examples:
      enforcer drain
      kubectl exec POD --container enforcer -- enforcer drain
    """
    signalled, starting = [], []
    for process in _running():
        with suppress(OSError):  # the process has ended, or belongs to another user
            if _catches(process):
                os.kill(int(process.name), signal.SIGUSR1)
                signalled.append(process.name)
            elif (process / "exe").readlink().name.startswith("python"):
                # Not a launcher that stays, such as `timeout`, nor another program with these arguments.
                starting.append(process.name)
    if starting:
        others = f"; process {', '.join(signalled)} was" if signalled else ""
        names = ", ".join(starting)
        click.echo(
            f"`enforcer run` (process {names}) is still starting and was not signalled{others}: try again", err=True
        )
        sys.exit(1)
    if not signalled:
        click.echo("this user runs no `enforcer run` here", err=True)
        sys.exit(1)


def _running() -> Iterator[Path]:
    """Yield the enforcers in this mount namespace: other containers may share the process list, but not the files."""
    for entry in PROCESSES.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                matches = any(
                    Path(os.fsdecode(word)).name == "enforcer" and after == b"run" for word, after in pairwise(words)
                )
                if matches and (entry / "ns/mnt").samefile("/proc/self/ns/mnt"):
                    yield entry


def _catches(process: Path) -> bool:
    """Return whether a process handles SIGUSR1; without a handler it would be killed (SigCgt in proc_pid_status(5))."""
    fields = dict(line.split(b":", 1) for line in (process / "status").read_bytes().splitlines())
    return bool(int(fields[b"SigCgt"], 16) >> (signal.SIGUSR1 - 1) & 1)
