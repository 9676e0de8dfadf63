"""What a process uses, from /proc, and what an enforcer counts."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

from harness.processes import Enforcer


def memory(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def metric(enforcer: Enforcer, name: str) -> float:
    """Return a metric that has no labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{enforcer.admin_port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def peak_memory(pid: int) -> int:
    """Return the most resident memory that a process has had so far, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
