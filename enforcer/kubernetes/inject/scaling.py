"""HorizontalPodAutoscalers whose metrics would mix what the app uses with what the enforcer uses."""

from __future__ import annotations

from enforcer.kubernetes.annotations import marked, unmarked
from enforcer.kubernetes.inject.services import near
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity, items, section

_GROUP = "autoscaling/"


def scales(thing: Object, workload: Workload) -> bool:
    """Tell whether an object is an autoscaler of a workload."""
    if not str(thing.get("apiVersion")).startswith(_GROUP) or thing.get("kind") != "HorizontalPodAutoscaler":
        return False
    target = section(thing, "spec", "scaleTargetRef")
    same = (target.get("kind"), target.get("name")) == (workload.kind, workload.name)
    return same and near(identity(thing)[1], workload.namespace)


def mixes(thing: Object) -> bool:
    """Tell whether an autoscaler looks at the resources of whole pods."""
    spec = section(thing, "spec")
    return "targetCPUUtilizationPercentage" in spec or any(map(_is_mixed, items(spec, "metrics")))


def can_be_separated(thing: Object) -> bool:
    """Tell whether its version of the API knows metrics of one container."""
    return thing.get("apiVersion") == "autoscaling/v2"


def separated(thing: Object, container: str) -> Object:
    """Return an autoscaler that looks at one container alone, with what it was before written down."""
    spec = section(thing, "spec")
    metrics = [_of_container(one, container) if _is_mixed(one) else one for one in items(spec, "metrics")]
    at = [at for at, one in enumerate(items(spec, "metrics")) if _is_mixed(one)]
    return marked({**thing, "spec": {**spec, "metrics": metrics}}, {"metrics": at})


def given_back(thing: Object) -> Object | None:
    """Return an autoscaler as it was before; None if nothing of it was changed."""
    found = unmarked(thing)
    if found is None:
        return None
    restored, former = found
    spec = section(restored, "spec")
    changed = former.get("metrics", [])
    metrics = [_of_pod(one) if at in changed else one for at, one in enumerate(items(spec, "metrics"))]
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
