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
    for template in _search(obj, 0):
        yield Workload(kind, name, namespace, (), template)


def _search(value: Any, depth: int) -> Iterator[Object]:
    """Yield the pod templates in a value: mappings whose `spec` has a list of containers with images."""
    if depth > _MAX_DEPTH or not isinstance(value, dict | list):
        return
    if isinstance(value, dict) and any("image" in part for part in items(section(value, "spec"), "containers")):
        yield value
        return
    for member in value.values() if isinstance(value, dict) else value:
        yield from _search(member, depth + 1)
