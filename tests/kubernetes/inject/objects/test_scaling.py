"""Autoscalers whose metrics would include the enforcer's CPU and memory."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import deployment
from harness.kubernetes.schemas import violations

from enforcer.kubernetes.inject.objects.scaling import can_be_separated, given_back, mixes, scales, separated
from enforcer.kubernetes.workloads import workload_of

CPU: dict[str, Any] = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
OTHER = {"type": "External", "external": {"metric": {"name": "x"}, "target": {"type": "Value", "value": "1"}}}


def scaler(*metrics: Any, version: str = "autoscaling/v2", **target: Any) -> Any:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app", **target}
    spec = {"scaleTargetRef": reference, "maxReplicas": 3, "metrics": list(metrics)}
    return {"apiVersion": version, "kind": "HorizontalPodAutoscaler", "metadata": {"name": "app"}, "spec": spec}


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (scaler(), True),
        (scaler(name="other"), False),
        (scaler(kind="StatefulSet"), False),
        ({**scaler(), "kind": "VerticalPodAutoscaler"}, False),
        ({**scaler(), "apiVersion": "x/v1"}, False),
    ],
)
def test_an_autoscaler_names_its_workload(thing: Any, expected: bool) -> None:
    """By API group, kind and name."""
    workload = workload_of(deployment())
    assert workload is not None
    assert scales(thing, workload) is expected


def test_an_autoscaler_of_whole_pods_mixes_containers() -> None:
    """Also in autoscaling/v1, which has no metrics of single containers."""
    assert mixes(scaler(OTHER, CPU))
    assert not mixes(scaler(OTHER))
    first = scaler(version="autoscaling/v1")
    first["spec"]["targetCPUUtilizationPercentage"] = 80
    assert mixes(first)
    assert not can_be_separated(first)
    assert can_be_separated(scaler())


def test_metrics_are_separated_and_restored() -> None:
    """Metrics of a single container stay unchanged."""
    own: dict[str, Any] = {"type": "ContainerResource", "containerResource": {**CPU["resource"], "container": "app"}}
    before = scaler(OTHER, CPU, own)
    after = separated(before, "app")
    assert not mixes(after)
    assert after["spec"]["metrics"][1:] == [own, own]
    assert list(violations(after)) == []
    assert given_back(after) == before
    assert given_back(before) is None
