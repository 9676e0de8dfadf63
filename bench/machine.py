"""Describes the machine and the versions of the measured software."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from bench.interpreter import Interpreter
from bench.servers import OPTIONAL, Workspace

_LIBRARIES = "uvicorn", "uvloop", "httptools", "starlette", "httpx"
_SHOW_VERSION = {"skipper": ("-version",), "heimdall": ("--version",)}
_MIN_FREE = 1 << 30  # bytes


def fast_folder() -> str | None:
    """Return a folder in memory with enough free space, or None.

    A busy disk would slow down the njs script, which keeps its cache in files.
    """
    shared = Path("/dev/shm")
    usable = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free >= _MIN_FREE
    return str(shared) if usable else None


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


def versions(workspace: Workspace, interpreter: Interpreter) -> dict[str, str]:
    """Return the versions of all measured software."""
    script = f"from importlib.metadata import version\nfor name in {_LIBRARIES}: print(name, version(name))"
    installed = dict(
        line.split() for line in _output([str(workspace.venv / "bin" / "python"), "-c", script]).splitlines()
    )
    return {
        "python": interpreter.describe(),
        **installed,
        "nginx": _version([workspace.command("nginx"), "-v"]),
        "njs": _package("libnginx-mod-http-js"),
        "apache": _version([workspace.command("apache2"), "-v"]),
        "mod_oauth2": _package("libapache2-mod-oauth2"),
        "envoy": _version([workspace.command("envoy"), "--version"]),
        **{
            server.name: _version([workspace.command(server.program), *_SHOW_VERSION.get(server.name, ("version",))])
            for server in OPTIONAL
            if workspace.has(server.program)
        },
        "wrk": _version([workspace.command("wrk"), "-v"]),
    }


def _output(command: list[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return ended.stdout + ended.stderr


def _version(command: list[str]) -> str:
    match = re.search(r"\d+\.\d+\.\d+", _output(command))
    return match[0] if match else "unknown"


def _package(name: str) -> str:
    return _output(["dpkg-query", "--show", "--showformat=${Version}", name])
