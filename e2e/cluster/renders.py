"""All manifests of this project: the chart with each values file, and each overlay."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import yaml
from harness.kubernetes import charts

from e2e import ROOT
from e2e.tools import run

Object = dict[str, Any]

EXCEPTIONS: Final = frozenset(charts.CUSTOM)
"""Kinds that operators and gateways define: a bare API server does not know them. They are skipped and listed."""
_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
}


def renders(namespace: str) -> Iterator[tuple[str, list[Object]]]:
    """Yield the objects of each render, moved to one namespace."""
    for name in charts.CI:
        yield (
            f"helm: ci/{name}-values.yaml",
            _within(charts.objects(charts.values(name), namespace=namespace), namespace),
        )
    for folder in sorted((ROOT / "k8s" / "overlays").iterdir()):
        text = run("kubectl", "kustomize", folder)
        yield f"kustomize: {folder.relative_to(ROOT)}", _within(list(charts.read(text)), namespace)


def injected(namespace: str) -> Iterator[tuple[str, list[Object]]]:
    """Yield the output of `enforcer inject` for the demo's app; mode transparent only for unrestricted namespaces."""
    app = [
        thing for thing in charts.objects(charts.values("demo"), namespace=namespace) if _is_of(thing, "country-app")
    ]
    for said in (["port"], ["port", "--native-sidecar", "false"], ["loopback", "--app-arg", "--host=127.0.0.1"]):
        command = [sys.executable, "-m", "enforcer", "inject", "-", "--kube-version", "1.33", "--mode", *said]
        text = run(*command, given=yaml.safe_dump_all(app), folder=ROOT)
        yield f"enforcer inject --mode {' '.join(said)}", list(charts.read(text))


def _is_of(thing: Object, name: str) -> bool:
    return bool(thing["metadata"]["name"] == name)


def known(things: list[Object]) -> list[Object]:
    """Return the objects of kinds that an API server knows."""
    return [thing for thing in things if thing["kind"] not in EXCEPTIONS]


def pods(things: list[Object]) -> list[Object]:
    """Return a pod for each workload, as its controller would create it: Pod Security checks only pods."""
    made = []
    for thing in things:
        if (way := _TEMPLATES.get(thing["kind"])) is None:
            continue
        template: Any = thing
        for step in way:
            template = template[step]
        meta = {**template.get("metadata", {}), "generateName": f"{thing['metadata']['name']}-"}
        made.append({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})
    return made


def _within(things: list[Object], namespace: str) -> list[Object]:
    """Move objects to another namespace, without Namespace objects."""
    moved = []
    for thing in things:
        if thing["kind"] == "Namespace":
            continue
        meta = thing["metadata"]
        moved.append({**thing, "metadata": {**meta, "namespace": namespace}} if "namespace" in meta else thing)
    return moved
