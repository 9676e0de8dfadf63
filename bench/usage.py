"""What processes use of CPU and memory, as the kernel counts it (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PPID, _UTIME, _STIME = 1, 11, 12  # fields of /proc/PID/stat behind the command's name


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it: a server's workers are its children."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_stat(int(folder.name))[_PPID])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU time that processes have used, in user and kernel mode."""
    return sum(int(_stat(pid)[_UTIME]) + int(_stat(pid)[_STIME]) for pid in pids) / _TICK


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory in use by processes, and the most there ever were."""

    resident: int
    peak: int


def memory(pids: list[int]) -> Memory:
    """Return the memory of processes."""
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
    """Let the peak begin anew at what is in use now: else that of the start would hide a growth."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
