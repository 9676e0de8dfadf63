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

    It is the preStop hook of a native sidecar, which gets SIGTERM only when the app has ended: too late to send clients
    elsewhere. Exit codes: 0 it was told, 1 there is none.

    \b
    Examples:
      enforcer drain
      kubectl exec POD --container enforcer -- enforcer drain
    """
    told = False
    for process in _running():
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGUSR1)
            told = True
    if not told:
        click.echo("no process of this user is `enforcer run` here", err=True)
        sys.exit(1)


def _running() -> Iterator[int]:
    """Yield those that see the files that this process sees: a pod, or a node, may share its processes, not those."""
    for entry in PROCESSES.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended, or is somebody else's
                words = (entry / "cmdline").read_bytes().split(b"\0")
                ours = any(Path(os.fsdecode(one)).name == "enforcer" and two == b"run" for one, two in pairwise(words))
                if ours and (entry / "ns/mnt").samefile("/proc/self/ns/mnt"):
                    yield int(entry.name)
