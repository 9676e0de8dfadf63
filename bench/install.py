"""What the benchmark needs: Debian packages for the peers, and a virtual environment for the enforcer."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.interpreter import Interpreter
from bench.processes import BenchError
from bench.servers import HERE, Place

_ROOT = HERE.parent
_MODULES = "/usr/lib/apache2/modules", "/usr/share/nginx/modules", "/usr/lib/nginx/modules"
_NEEDED = {  # what must be there: the Debian package that has it
    "wrk": "wrk",
    "nginx": "nginx",
    "ngx_http_js_module.so": "libnginx-mod-http-js",
    "apache2": "apache2-bin",
    "mod_oauth2.so": "libapache2-mod-oauth2",
    "setpriv": "util-linux",
    "taskset": "util-linux",
}


def packages(place: Place) -> None:
    """Install the Debian packages that are missing; raises BenchError where that is not possible."""
    missing = _missing(place)
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        how = "sudo " + " ".join(command) if shutil.which("apt-get") else "install them with your system's tools"
        raise BenchError(f"missing: {', '.join(missing)}\n{how}")
    print(f"installing {', '.join(missing)} …", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update", "--quiet"], environment)
    _run([*command, "--quiet"], environment)
    if missing := _missing(place):
        raise BenchError(f"installed, and still missing: {', '.join(missing)}")


def environment(venv: Path, interpreter: Interpreter) -> None:
    """Make the virtual environment where there is none or an old one, and install the enforcer as it is now."""
    locked, ours = _ROOT / "requirements.lock", HERE / "requirements.txt"
    digest = hashlib.sha256(locked.read_bytes() + ours.read_bytes()).hexdigest()
    made_from = f"{interpreter}\n{digest}\n"
    pip = [str(venv / "bin" / "pip"), "--quiet", "--disable-pip-version-check", "install"]
    stamp = venv / ".ready"
    if not stamp.is_file() or stamp.read_text() != made_from:
        print(f"making a virtual environment of {interpreter.path} …", flush=True)
        shutil.rmtree(venv, ignore_errors=True)
        _run([interpreter.path, "-m", "venv", str(venv)])
        _run([*pip, "--require-hashes", "-r", str(locked), "-r", str(ours)])
        stamp.write_text(made_from)
    # A copy, not the folder itself: what is edited during a run is not measured. Compiled, as in the image.
    compiled = {**os.environ, "HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"}
    _run([*pip, "--no-deps", "--no-build-isolation", "--force-reinstall", str(_ROOT)], compiled)


def _missing(place: Place) -> list[str]:
    def there(name: str) -> bool:
        if name.endswith(".so"):
            return any((Path(folder) / name).exists() for folder in _MODULES)
        return Path(place.command(name)).is_absolute()

    return sorted({package for name, package in _NEEDED.items() if not there(name)})


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    ran = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise BenchError(f"{' '.join(command)} failed:\n{(ran.stderr or ran.stdout)[-2000:]}")
