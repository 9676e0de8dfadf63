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
    """Have every `enforcer run` of this container, or machine, begin what it does on SIGTERM, and go on until then.

    It cannot be undone: the pod is not ready from then on, until SIGTERM ends it. It is the preStop hook of a native
    sidecar, which gets SIGTERM only when the app has ended: too late to send clients elsewhere. Exit codes: 0 it was
    told, 1 there is none, or one that is only starting, and was not told.

    \b
    Examples:
      enforcer drain
      kubectl exec POD --container enforcer -- enforcer drain
    """
    told, deaf = [], []
    for process in _running():
        with suppress(OSError):  # it has ended, or is somebody else's
            if _catches(process):
                os.kill(int(process.name), signal.SIGUSR1)
                told.append(process.name)
            elif (process / "exe").readlink().name.startswith("python"):
                # Not what launches it and stays, as `timeout` does, nor who has its words for other reasons.
                deaf.append(process.name)
    if deaf:
        others = f"; process {', '.join(told)} was" if told else ""
        click.echo(
            f"`enforcer run` (process {', '.join(deaf)}) is only starting and was not told{others}: try again", err=True
        )
        sys.exit(1)
    if not told:
        click.echo("no process of this user is `enforcer run` here", err=True)
        sys.exit(1)


def _running() -> Iterator[Path]:
    """Yield those that see the files that this process sees: a pod, or a node, may share its processes, not those."""
    for entry in PROCESSES.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                named = any(Path(os.fsdecode(one)).name == "enforcer" and two == b"run" for one, two in pairwise(words))
                if named and (entry / "ns/mnt").samefile("/proc/self/ns/mnt"):
                    yield entry


def _catches(process: Path) -> bool:
    """Tell whether SIGUSR1 has a handler there; one that has none would be ended by it (proc_pid_status(5), SigCgt)."""
    fields = dict(line.split(b":", 1) for line in (process / "status").read_bytes().splitlines())
    return bool(int(fields[b"SigCgt"], 16) >> (signal.SIGUSR1 - 1) & 1)
