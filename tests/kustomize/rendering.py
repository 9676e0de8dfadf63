"""Renders the overlays of k8s/, and checks whether the rendered files are current.

The rendered files do not repeat the dashboard and the alerts of k8s/components/monitoring, which kustomize copies
unchanged: `COPIES` says where a rendered object refers to a file instead of containing its content.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from enforcer.yamltext.documents import read
from enforcer.yamltext.editor import rewritten

ROOT = Path(__file__).parents[2]
RENDERED = Path(__file__).parent / "rendered"
SUMS = Path(__file__).parent / "SHA256SUMS"

OVERLAYS: Mapping[str, Path] = {
    path.parent.name: path.parent
    for base in (ROOT / "k8s" / "overlays", Path(__file__).parent / "overlays")
    for path in sorted(base.glob("*/kustomization.yaml"))
}
"""Folders by name: the public overlays, and those of the tests, for components that no public overlay uses."""

INJECTED = ROOT / "k8s" / "overlays" / "sidecar" / "injected.yaml"
INJECT = (
    *("inject", "--filename", "k8s/demo/country-app/country-app.yaml"),
    *("--policy", "k8s/overlays/sidecar/policy.yaml", "--kube-version", "1.33"),
)
"""The command that writes `INJECTED`, in the repository's folder."""

_MONITORING = ROOT / "k8s" / "components" / "monitoring"
COPIES: Mapping[tuple[str, str, str], str] = {
    ("ConfigMap", "data", "enforcer.json"): "enforcer.json",
    ("PrometheusRule", "spec", "groups"): "prometheusrule.yaml",
}
"""Kind and path of a copied value, and its file in k8s/components/monitoring."""


def render() -> None:
    """Render everything, and write the checksums; raises FileNotFoundError if there is no kustomize."""
    command = _command()
    injected = subprocess.run(
        [sys.executable, "-m", "enforcer", *INJECT, "--quiet"], capture_output=True, check=True, cwd=ROOT
    )
    INJECTED.write_bytes(injected.stdout)
    for old in RENDERED.glob("*.yaml"):
        old.unlink()
    for name, folder in OVERLAYS.items():
        built = subprocess.run([*command, str(folder)], capture_output=True, check=True, text=True)
        (RENDERED / f"{name}.yaml").write_text(_without_copies(built.stdout), "utf-8")
    SUMS.write_text("".join(f"{line}\n" for line in sums()), "utf-8")


def rendered(name: str) -> list[dict[str, Any]]:
    """Return the objects of a rendered overlay, with the copied values in place."""
    objects = [*yaml.safe_load_all((RENDERED / f"{name}.yaml").read_text("utf-8"))]
    for (kind, section, key), file in COPIES.items():
        for obj in objects:
            if obj["kind"] == kind and obj.get(section, {}).get(key) == file:
                obj[section][key] = _content(file)
    return objects


def sums() -> Iterator[str]:
    """Yield a line with the digest and the path of each source file and each rendered file."""
    folders = (ROOT / "k8s", Path(__file__).parent / "overlays", RENDERED)
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        yield f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT)}"


def _without_copies(text: str) -> str:
    """Replace each value that is equal to its file's content by the file's name."""
    parts = []
    for document in read("rendered", text):
        value = deepcopy(document.value)
        for (kind, section, key), file in COPIES.items():
            if value["kind"] == kind and value.get(section, {}).get(key) == _content(file):
                value[section][key] = file
        parts.append(rewritten(document.text, document.value, value))
    return "".join(parts)


def _content(file: str) -> Any:
    text = (_MONITORING / file).read_text("utf-8")
    return text if file.endswith(".json") else yaml.safe_load(text)["spec"]["groups"]


def _command() -> list[str]:
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    raise FileNotFoundError("kubectl or kustomize is needed to render k8s/")
