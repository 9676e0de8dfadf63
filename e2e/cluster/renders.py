"""Everything that this project would have a cluster take: the chart with each file of values, and each overlay."""

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
"""Kinds that operators and gateways bring: a bare API server does not know them. They are left out, and said."""
_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
}


def renders(namespace: str) -> Iterator[tuple[str, list[Object]]]:
    """Give what each render consists of, in a namespace; what says another namespace is put there, too."""
    for name in charts.CI:
        yield (
            f"helm: ci/{name}-values.yaml",
            _within(charts.objects(charts.values(name), namespace=namespace), namespace),
        )
    for folder in sorted((ROOT / "k8s" / "overlays").iterdir()):
        text = run("kubectl", "kustomize", folder)
        yield f"kustomize: {folder.relative_to(ROOT)}", _within(list(charts.read(text)), namespace)


def injected(namespace: str) -> Iterator[tuple[str, list[Object]]]:
    """Give what `enforcer inject` makes of the demo's app; mode transparent is for those that are not restricted."""
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
    """Return what an API server knows by itself."""
    return [thing for thing in things if thing["kind"] not in EXCEPTIONS]


def pods(things: list[Object]) -> list[Object]:
    """Return a pod for each workload, as its controller would create it: Pod Security looks at nothing else."""
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
    """Put objects into another namespace, and leave out the one that they bring."""
    moved = []
    for thing in things:
        if thing["kind"] == "Namespace":
            continue
        meta = thing["metadata"]
        moved.append({**thing, "metadata": {**meta, "namespace": namespace}} if "namespace" in meta else thing)
    return moved
