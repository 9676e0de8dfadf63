"""`enforcer drain`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

import click

PROCESSES: Final = Path("/proc")
CONTAINER_FILES: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))  # made by Docker and Podman
CONTAINER_VARIABLES: Final = ("KUBERNETES_SERVICE_HOST", "container")  # set by the kubelet, and by Podman and others


@click.command(name="drain")
@click.option("--pid", "pids", type=int, multiple=True, metavar="PID", help="Process to drain. May be repeated.")
@click.option("--all", "every", is_flag=True, help="Drain every enforcer on this machine that this user may signal.")
def command(pids: Sequence[int], every: bool) -> None:
    """Start the shutdown of `enforcer run` without ending the process.

    Without options, it drains every enforcer in this container. Outside a container, name the process, or use --all.

    This cannot be undone: the enforcer reports not ready until SIGTERM ends it. Use it as the preStop hook of a native
    sidecar, which gets SIGTERM only after the app has ended: too late to send clients elsewhere.

    Exit codes: 0 every enforcer was signalled, 1 there is none, or one is still starting and was not signalled, 2 wrong
    use.

    \b
    Examples:
      enforcer drain
      enforcer drain --pid 4711
      kubectl exec POD --container enforcer -- enforcer drain
    """
    if every and pids:
        raise click.UsageError("--all and --pid exclude each other")
    running = {int(process.name): process for process in _running()}
    if not every and not pids and not _in_container():
        listed = "".join(f"\n  {pid}  {_command_line(process)}" for pid, process in sorted(running.items()))
        raise click.UsageError(
            "this is not a container: choose a process with --pid, or drain every enforcer of this machine with --all; "
            + (f"running:{listed}" if listed else "none is running")
        )
    if unknown := [pid for pid in pids if pid not in running]:
        click.echo(f"not an `enforcer run`: process {', '.join(map(str, unknown))}; none was signalled", err=True)
        sys.exit(1)
    starting, signalled = _signal([running[pid] for pid in pids] if pids else list(running.values()))
    for line in signalled:
        click.echo(f"draining: process {line}")
    if starting:
        click.echo(f"still starting, not signalled: process {', '.join(starting)}; try again", err=True)
        sys.exit(1)
    if not signalled:
        click.echo("this user runs no `enforcer run` here", err=True)
        sys.exit(1)


def _signal(processes: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Signal processes; return the ids of those that are still starting, and a line for each that was signalled."""
    starting, signalled = [], []
    for process in processes:
        with suppress(OSError):  # the process has ended, or belongs to another user
            line = f"{process.name} ({_command_line(process)})"
            if _catches(process):
                os.kill(int(process.name), signal.SIGUSR1)
                signalled.append(line)
            elif (process / "exe").readlink().name.startswith("python"):
                # Not a launcher that stays, such as `timeout`, nor another program with these arguments.
                starting.append(process.name)
    return starting, signalled


def _in_container() -> bool:
    return any(name in os.environ for name in CONTAINER_VARIABLES) or any(path.exists() for path in CONTAINER_FILES)


def _command_line(process: Path) -> str:
    """Return the command that a process was started with, from the word `enforcer` on."""
    with suppress(OSError):
        words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        names = [Path(os.fsdecode(word)).name for word in words]
        start = names.index("enforcer") if "enforcer" in names else 0
        text = " ".join(["enforcer", *map(os.fsdecode, words[start + 1 :])])
        return "".join(char if char.isprintable() else "?" for char in text)
    return "ended"


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
