"""Renders the overlays of k8s/, and knows whether what was rendered is current."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
RENDERED = Path(__file__).parent / "rendered"
SUMS = Path(__file__).parent / "SHA256SUMS"

OVERLAYS: Mapping[str, Path] = {
    path.parent.name: path.parent
    for base in (ROOT / "k8s" / "overlays", Path(__file__).parent / "overlays")
    for path in sorted(base.glob("*/kustomization.yaml"))
}
"""Folders by name: those for people, and those of the tests, which try components that no other tries."""


INJECTED = ROOT / "k8s" / "overlays" / "sidecar" / "injected.yaml"
INJECT = (
    *("inject", "--filename", "k8s/demo/country-app/country-app.yaml"),
    *("--policy", "k8s/overlays/sidecar/policy.yaml", "--kube-version", "1.33"),
)
"""What makes the one of the other, in the repository's folder."""


def render() -> None:
    """Render everything, and write down of what; raises FileNotFoundError where there is no kustomize."""
    command = _command()
    made = subprocess.run(
        [sys.executable, "-m", "enforcer", *INJECT, "--quiet"], capture_output=True, check=True, cwd=ROOT
    )
    INJECTED.write_bytes(made.stdout)
    for old in RENDERED.glob("*.yaml"):
        old.unlink()
    for name, folder in OVERLAYS.items():
        made = subprocess.run([*command, str(folder)], capture_output=True, check=True)
        (RENDERED / f"{name}.yaml").write_bytes(made.stdout)
    SUMS.write_text("".join(f"{line}\n" for line in sums()), "utf-8")


def sums() -> Iterator[str]:
    """Give a line for each file that something is made from, or that was made: its digest and its path."""
    folders = (ROOT / "k8s", Path(__file__).parent / "overlays", RENDERED)
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        yield f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT)}"


def _command() -> list[str]:
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    raise FileNotFoundError("kubectl or kustomize is needed to render k8s/")
