"""Which Python the enforcer is measured on, and how it was built: that decides a quarter of its speed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError

_SYSTEM = "/usr/bin/python3"  # a distribution builds it with profile-guided optimisation; many others do not
_PROBE = """
import ensurepip, json, platform, sys, sysconfig, venv
print(json.dumps({
    "version": platform.python_version(), "implementation": platform.python_implementation(),
    "compiler": platform.python_compiler(), "arguments": sysconfig.get_config_var("CONFIG_ARGS") or "",
    "enough": sys.version_info >= (3, 11), "executable": sys.executable,
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that can make virtual environments."""

    path: str
    version: str
    compiler: str
    arguments: str

    @property
    def optimized(self) -> str:
        """How it was built, as far as it tells."""
        if "--enable-optimizations" in self.arguments:
            return "built with --enable-optimizations"
        if self.path == _SYSTEM:
            return "the distribution's build; its CONFIG_ARGS do not name --enable-optimizations"
        return "built without --enable-optimizations, so about a quarter slower than it could be"

    def describe(self) -> str:
        """Say which it is, without where it is."""
        return f"CPython {self.version} ({self.compiler}; {self.optimized})"


def choose(wanted: str | None) -> Interpreter:
    """Return the one asked for; else the system's where it will do; else the one that runs this."""
    for path in [wanted] if wanted else [_SYSTEM, str(Path(sys.base_prefix) / "bin" / "python3")]:
        found = _probe(path)
        if found is not None:
            return found
    raise BenchError(f"{wanted or _SYSTEM} is no CPython 3.11 or later with venv; Debian: apt-get install python3-venv")


def _probe(path: str) -> Interpreter | None:
    try:
        ran = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    said = json.loads(ran.stdout)
    if not said["enough"] or said["implementation"] != "CPython":
        return None
    return Interpreter(path, said["version"], said["compiler"], said["arguments"])
