"""CPU time and memory of processes, from /proc (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PPID, _UTIME, _STIME = 1, 11, 12  # fields of /proc/PID/stat after the command name


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def tree(root: int) -> list[int]:
    """Return a process and all its descendants, because a server's workers are its children."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_stat(int(folder.name))[_PPID])
        except (FileNotFoundError, ProcessLookupError):
            continue
    pids = [root]
    for pid in pids:
        pids += [child for child, parent in parents.items() if parent == pid]
    return pids


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU time of processes, user and kernel mode together."""
    return sum(int(_stat(pid)[_UTIME]) + int(_stat(pid)[_STIME]) for pid in pids) / _TICK


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of processes, and its peak, in bytes."""

    resident: int
    peak: int


def memory(pids: list[int]) -> Memory:
    """Return the memory of processes, summed up."""
    resident = peak = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmRSS":
                resident += int(value.split()[0]) * 1024
            elif name == "VmHWM":
                peak += int(value.split()[0]) * 1024
    return Memory(resident, peak)


def forget_peak(pids: list[int]) -> None:
    """Reset the peak to the current usage, because the peak of the start would hide a later growth."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
