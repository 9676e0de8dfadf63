"""What was measured on what."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from bench.interpreter import Interpreter
from bench.servers import Place

_LIBRARIES = "uvicorn", "uvloop", "httptools", "starlette", "httpx"
_ROOM = 1 << 30


def fast_folder() -> str | None:
    """Return a folder in memory that has room, or None: a disk that is busy would slow the peer that keeps files."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free >= _ROOM
    return str(shared) if roomy else None


def machine() -> dict[str, str]:
    """Describe the machine."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    virtual = bool(re.search(r"^flags\s*:.*\bhypervisor\b", info, re.MULTILINE))
    total = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": model[1].strip() if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "kind": "virtual machine" if virtual else "bare metal",
        "memory": f"{int(total[1]) / 2**20:.0f} GiB" if total else "unknown",
        "kernel": f"Linux {platform.release().split('-')[0]}",
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "files": "in memory" if fast_folder() else "on disk",
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def versions(place: Place, interpreter: Interpreter) -> dict[str, str]:
    """Return the version of everything measured."""
    script = f"from importlib.metadata import version\nfor name in {_LIBRARIES}: print(name, version(name))"
    installed = dict(line.split() for line in _said([str(place.venv / "bin" / "python"), "-c", script]).splitlines())
    return {
        "python": interpreter.describe(),
        **installed,
        "nginx": _number([place.command("nginx"), "-v"]),
        "njs": _package("libnginx-mod-http-js"),
        "apache": _number([place.command("apache2"), "-v"]),
        "mod_oauth2": _package("libapache2-mod-oauth2"),
        "envoy": _number([place.command("envoy"), "--version"]),
        "wrk": _number([place.command("wrk"), "-v"]),
    }


def _said(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return ran.stdout + ran.stderr


def _number(command: list[str]) -> str:
    found = re.search(r"\d+\.\d+\.\d+", _said(command))
    return found[0] if found else "unknown"


def _package(name: str) -> str:
    return _said(["dpkg-query", "--show", "--showformat=${Version}", name])
