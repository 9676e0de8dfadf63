"""Resource usage of a process, read from /proc, and metrics of an enforcer."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

from harness.processes import Enforcer
from harness.waiting import TIMEOUT


def resident_memory(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def open_descriptors(pid: int) -> int:
    """Return the number of open file descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def metric(enforcer: Enforcer, name: str) -> float:
    """Return the value of the series `name`, labels included as in the exposition."""
    with urllib.request.urlopen(f"http://127.0.0.1:{enforcer.admin_port}/metrics", timeout=TIMEOUT) as response:
        lines = response.read().decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def peak_memory(pid: int) -> int:
    """Return the peak resident memory of a process since its program started, in bytes.

    `ru_maxrss` of getrusage would include the peak of the process that started it.
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
