"""Pod templates in objects of any kind: what `workloads` does not know by its kind is searched for.

A kind that nobody has heard of may run pods, too: Knative Services, Notebooks, ScaledJobs. It must never be mistaken
for one without pods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from enforcer.kubernetes.workloads import Workload, workload_of
from enforcer.yamltext.objects import Object, identity, items, section

_MAX_DEPTH: Final = 12
"""Levels of an object that are searched; the deepest known template, of a CronJob, is at the third."""


def contained(obj: Object) -> Iterator[Object]:
    """Yield the objects in a list of any kind (`DeploymentList`) or in a `Template`; any other object itself."""
    kind, version = str(obj.get("kind")), obj.get("apiVersion")
    key = "objects" if kind == "Template" else "items" if kind.endswith("List") else ""
    members = items(obj, key)
    for member in members:
        # The members of a list of one kind have no kind of their own.
        yield from contained({"apiVersion": version, "kind": kind.removesuffix("List"), **member})
    if not members:
        yield obj


def find_workloads(obj: Object) -> Iterator[Workload]:
    """Yield the workload of an object, or the pod templates anywhere in an object of an unknown kind.

    The path of a template that is found by searching is empty: it cannot be replaced.
    """
    known = workload_of(obj)
    if known is not None:
        yield known
        return
    kind, (name, namespace) = str(obj.get("kind") or "object"), identity(obj)
    serves = str(obj.get("apiVersion")).startswith(_SERVING)
    for template in _search(obj, 0):
        yield Workload(kind, name, namespace, (), _with_port(template) if serves else template)


_SERVING: Final = ("serving.knative.dev/", "serving.kserve.io/")
_SERVING_PORT: Final = 8080


def _with_port(template: Object) -> Object:
    """Return a template of Knative or KServe, whose app listens on port 8080 if no container declares a port."""
    spec = template["spec"]
    if any(items(container, "ports") for container in spec["containers"]):
        return template
    first, *others = spec["containers"]
    return {
        **template,
        "spec": {**spec, "containers": [{**first, "ports": [{"containerPort": _SERVING_PORT}]}, *others]},
    }


def _search(value: Any, depth: int) -> Iterator[Object]:
    """Yield the pod templates in a value: mappings whose `spec` has a list of containers with images.

    A list of containers without a `spec` around it, or a single container, is a template without labels.
    """
    if depth > _MAX_DEPTH or not isinstance(value, dict | list):
        return
    if isinstance(value, dict):
        for template in (value, {"spec": value}, {"spec": {"containers": [value.get("container")]}}):
            if any("image" in part for part in items(section(template, "spec"), "containers")):
                yield template
                return
    for member in value.values() if isinstance(value, dict) else value:
        yield from _search(member, depth + 1)
