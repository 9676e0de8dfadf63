"""HorizontalPodAutoscalers whose resource metrics would add up the app's and the enforcer's usage."""

from __future__ import annotations

from enforcer.kubernetes.annotations import with_status, without_status
from enforcer.kubernetes.inject.objects.services import may_share_namespace
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity, items, section

_GROUP = "autoscaling/"


def scales(obj: Object, workload: Workload) -> bool:
    """Return whether an object is an autoscaler of the workload."""
    if not str(obj.get("apiVersion")).startswith(_GROUP) or obj.get("kind") != "HorizontalPodAutoscaler":
        return False
    target = section(obj, "spec", "scaleTargetRef")
    same = (target.get("kind"), target.get("name")) == (workload.kind, workload.name)
    return same and may_share_namespace(identity(obj)[1], workload.namespace)


def mixes(obj: Object) -> bool:
    """Return whether an autoscaler measures the resources of whole pods."""
    spec = section(obj, "spec")
    return "targetCPUUtilizationPercentage" in spec or any(map(_is_mixed, items(spec, "metrics")))


def can_be_separated(obj: Object) -> bool:
    """Return whether the autoscaler's API version supports metrics of a single container."""
    return obj.get("apiVersion") == "autoscaling/v2"


def separated(obj: Object, container: str) -> Object:
    """Return an autoscaler that measures one container only, with the former metrics in the status annotation."""
    spec = section(obj, "spec")
    metrics = [_of_container(metric, container) if _is_mixed(metric) else metric for metric in items(spec, "metrics")]
    changed = [index for index, metric in enumerate(items(spec, "metrics")) if _is_mixed(metric)]
    return with_status({**obj, "spec": {**spec, "metrics": metrics}}, {"metrics": changed})


def given_back(obj: Object) -> Object | None:
    """Return the autoscaler as it was before the injection; None if it was not changed."""
    if (parts := without_status(obj)) is None:
        return None
    restored, former = parts
    spec = section(restored, "spec")
    listed = former.get("metrics")
    changed = listed if isinstance(listed, list) else []
    metrics = [_of_pod(metric) if index in changed else metric for index, metric in enumerate(items(spec, "metrics"))]
    return {**restored, "spec": {**spec, "metrics": metrics}}


def _is_mixed(metric: Object) -> bool:
    return metric.get("type") == "Resource" and isinstance(metric.get("resource"), dict)


def _of_container(metric: Object, container: str) -> Object:
    replaced = {"type": "ContainerResource", "resource": {**metric["resource"], "container": container}}
    return {_SINGLE.get(key, key): replaced.get(key, value) for key, value in metric.items()}


def _of_pod(metric: Object) -> Object:
    if metric.get("type") != "ContainerResource" or not isinstance(metric.get("containerResource"), dict):
        return metric
    source = {key: value for key, value in metric["containerResource"].items() if key != "container"}
    replaced = {"type": "Resource", "containerResource": source}
    back = {new: old for old, new in _SINGLE.items()}
    return {back.get(key, key): replaced.get(key, value) for key, value in metric.items()}


_SINGLE = {"resource": "containerResource"}
