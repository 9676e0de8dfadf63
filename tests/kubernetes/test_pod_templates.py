"""Pod templates are found in objects of any kind."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import deployment

from enforcer.kubernetes.pod_templates import contained, find_workloads

TEMPLATE: Any = deployment()["spec"]["template"]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("DeploymentConfig", {"template": TEMPLATE}),
        ("ScaledJob", {"jobTargetRef": {"template": TEMPLATE}}),
        ("Notebook", {"template": {"spec": TEMPLATE["spec"]}}),
        ("LeaderWorkerSet", {"leaderWorkerTemplate": {"workerTemplate": TEMPLATE}}),
        ("RayCluster", {"workerGroupSpecs": [{"template": TEMPLATE}]}),
    ],
)
def test_an_unknown_kind_is_searched(kind: str, spec: Any) -> None:
    """At any depth, in lists, too."""
    (workload,) = find_workloads({"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec})
    assert (workload.kind, workload.name, len(workload.spec["containers"])) == (kind, "a", 1)


@pytest.mark.parametrize(
    "obj",
    [
        {"kind": "ConfigMap", "data": {"spec": "containers"}},
        {"kind": "CustomResourceDefinition", "spec": {"properties": {"containers": {"type": "array"}}}},
        {"kind": "LimitRange", "spec": {"containers": [{"name": "a"}]}},
        {},
    ],
)
def test_other_objects_have_none(obj: Any) -> None:
    """A mapping that merely looks similar is not one."""
    assert list(find_workloads(obj)) == []


@pytest.mark.parametrize(
    ("kind", "key"), [("DeploymentList", "items"), ("List", "items"), ("Template", "objects"), ("PodList", "items")]
)
def test_members_of_lists_are_objects(kind: str, key: str) -> None:
    """Also those without a kind of their own."""
    member = {"metadata": {"name": "a"}}
    (only,) = contained({"apiVersion": "apps/v1", "kind": kind, key: [member]})
    assert (only["metadata"], only["kind"]) == ({"name": "a"}, kind.removesuffix("List"))
    assert list(contained({"kind": kind})) == [{"kind": kind}]
