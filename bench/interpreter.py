"""Chooses the Python interpreter to measure the enforcer on. Its build options account for a quarter of the speed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError

_SYSTEM = "/usr/bin/python3"  # distributions build it with profile-guided optimisation; many other builds lack it
_PROBE = """
import ensurepip, json, platform, sys, sysconfig, venv
print(json.dumps({
    "version": platform.python_version(), "implementation": platform.python_implementation(),
    "compiler": platform.python_compiler(), "arguments": sysconfig.get_config_var("CONFIG_ARGS") or "",
    "supported": sys.version_info >= (3, 11), "executable": sys.executable,
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python interpreter that can create virtual environments."""

    path: str
    version: str
    compiler: str
    arguments: str

    @property
    def optimized(self) -> str:
        """Describe how it was built, as far as its build options show."""
        if "--enable-optimizations" in self.arguments:
            return "built with --enable-optimizations"
        if self.path == _SYSTEM:
            return "the distribution's build; its CONFIG_ARGS do not name --enable-optimizations"
        return "built without --enable-optimizations, so about a quarter slower than an optimized build"

    def describe(self) -> str:
        """Return version, compiler and build, without the path."""
        return f"CPython {self.version} ({self.compiler}; {self.optimized})"


def choose(requested: str | None) -> Interpreter:
    """Return the requested interpreter (a path), or the system's, or else the one that runs the benchmark.

    Raises BenchError if none of them is CPython 3.11 or later with venv.
    """
    for path in [requested] if requested else [_SYSTEM, str(Path(sys.base_prefix) / "bin" / "python3")]:
        interpreter = _probe(path)
        if interpreter is not None:
            return interpreter
    raise BenchError(
        f"{requested or _SYSTEM} is not CPython 3.11 or later with venv; Debian: apt-get install python3-venv"
    )


def _probe(path: str) -> Interpreter | None:
    try:
        ended = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    facts = json.loads(ended.stdout)
    if not facts["supported"] or facts["implementation"] != "CPython":
        return None
    return Interpreter(path, facts["version"], facts["compiler"], facts["arguments"])
