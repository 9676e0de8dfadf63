"""Installs the prerequisites: Debian packages of the other proxies, and a virtual environment for the enforcer."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.interpreter import Interpreter
from bench.processes import BenchError
from bench.results import BUILD
from bench.servers import HERE, Build, Workspace

_ROOT = HERE.parent
_MODULES = "/usr/lib/apache2/modules", "/usr/share/nginx/modules", "/usr/lib/nginx/modules"
_COMPILED = {"HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"}
_REQUIRED = {  # command or module: the Debian package that contains it
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "nginx": "nginx",
    "ngx_http_js_module.so": "libnginx-mod-http-js",
    "apache2": "apache2-bin",
    "mod_oauth2.so": "libapache2-mod-oauth2",
    "setpriv": "util-linux",
    "taskset": "util-linux",
}


def packages(workspace: Workspace) -> None:
    """Install the missing Debian packages; raises BenchError if that fails or is not possible."""
    missing = _missing(workspace)
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        hint = "sudo " + " ".join(command) if shutil.which("apt-get") else "install them with your system's tools"
        raise BenchError(f"missing: {', '.join(missing)}\n{hint}")
    print(f"installing {', '.join(missing)} …", flush=True)
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update", "--quiet"], environment)
    _run([*command, "--quiet"], environment)
    if missing := _missing(workspace):
        raise BenchError(f"still missing after installing the packages: {', '.join(missing)}")


def environment(venv: Path, interpreter: Interpreter) -> None:
    """Create the virtual environment if it is missing or outdated, and install the enforcer from the working tree."""
    lock, extra = _ROOT / "requirements.lock", HERE / "requirements.txt"
    digest = hashlib.sha256(lock.read_bytes() + extra.read_bytes()).hexdigest()
    contents = f"{interpreter}\n{digest}\n"
    stamp = venv / ".ready"
    if not stamp.is_file() or stamp.read_text() != contents:
        print(f"creating a virtual environment with {interpreter.path} …", flush=True)
        shutil.rmtree(venv, ignore_errors=True)
        _run([interpreter.path, "-m", "venv", str(venv)])
        _run([*_pip(venv), "--require-hashes", "-r", str(lock), "-r", str(extra)])
        stamp.write_text(contents)
    # A copy instead of an editable install, so that edits during a run have no effect. Compiled, as in the image.
    _run([*_pip(venv), "--no-deps", "--no-build-isolation", "--force-reinstall", str(_ROOT)], _COMPILED)


def build(workspace: Workspace, revision: str) -> Build:
    """Compile the enforcer of a git revision into a folder beside the virtual environment; once for each commit.

    It runs on the same versions of its dependencies. Raises BenchError if the revision is unknown or does not build.
    """
    commit = _run(["git", "-C", str(_ROOT), "rev-parse", "--short", "--verify", f"{revision}^{{commit}}"]).strip()
    folder = workspace.venv.with_name(f"enforcer-{commit}")
    if not folder.is_dir():
        print(f"building the enforcer of {commit} …", flush=True)
        with tempfile.TemporaryDirectory() as source:
            archive = Path(source) / "source.tar"
            _run(["git", "-C", str(_ROOT), "archive", f"--output={archive}", commit])
            _run(["tar", "--extract", f"--file={archive}", f"--directory={source}"])
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            _run(
                [*_pip(workspace.venv), "--no-deps", "--no-build-isolation", f"--target={unfinished}", source],
                _COMPILED,
            )
            unfinished.rename(folder)
    return Build(f"{BUILD}{commit}", folder)


def _pip(venv: Path) -> list[str]:
    return [str(venv / "bin" / "pip"), "--quiet", "--disable-pip-version-check", "install"]


def _missing(workspace: Workspace) -> list[str]:
    def installed(name: str) -> bool:
        if name.endswith(".so"):
            return any((Path(folder) / name).exists() for folder in _MODULES)
        return workspace.has(name)

    return sorted({package for name, package in _REQUIRED.items() if not installed(name)})


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return its output; raises BenchError if it fails."""
    ended = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise BenchError(f"{' '.join(command)} failed:\n{(ended.stderr or ended.stdout)[-2000:]}")
    return ended.stdout
