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
"""Kinds of operators and gateways, which a bare API server does not know. They are skipped and listed."""
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
        document
        for document in charts.objects(charts.values("demo"), namespace=namespace)
        if _is_of(document, "country-app")
    ]
    for options in (["port"], ["port", "--native-sidecar", "false"], ["loopback", "--app-arg", "--host=127.0.0.1"]):
        command = [sys.executable, "-m", "enforcer", "inject", "-", "--kube-version", "1.33", "--mode", *options]
        text = run(*command, text=yaml.safe_dump_all(app), folder=ROOT)
        yield f"enforcer inject --mode {' '.join(options)}", list(charts.read(text))


def _is_of(document: Object, name: str) -> bool:
    return bool(document["metadata"]["name"] == name)


def known(objects: list[Object]) -> list[Object]:
    """Return the objects whose kinds the API server knows."""
    return [document for document in objects if document["kind"] not in EXCEPTIONS]


def pods(objects: list[Object]) -> list[Object]:
    """Return a pod for each workload, as its controller would create it: Pod Security checks only pods."""
    result = []
    for document in objects:
        if (path := _TEMPLATES.get(document["kind"])) is None:
            continue
        template: Any = document
        for key in path:
            template = template[key]
        meta = {**template.get("metadata", {}), "generateName": f"{document['metadata']['name']}-"}
        result.append({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})
    return result


def _within(objects: list[Object], namespace: str) -> list[Object]:
    """Move objects to another namespace, without Namespace objects."""
    moved = []
    for document in objects:
        if document["kind"] == "Namespace":
            continue
        meta = document["metadata"]
        moved.append({**document, "metadata": {**meta, "namespace": namespace}} if "namespace" in meta else document)
    return moved
