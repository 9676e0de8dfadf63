"""Reverts an injection in every object: workloads, Services and autoscalers become what they were before."""

from __future__ import annotations

from collections.abc import Sequence

from enforcer.kubernetes.annotations import is_ours
from enforcer.kubernetes.inject.manifest_set import ManifestSet, Outcome
from enforcer.kubernetes.inject.objects import scaling, services
from enforcer.kubernetes.inject.pod.uninject import uninject
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.workloads import with_template, workload_of
from enforcer.yamltext.objects import Object


def uninject_all(objects: Sequence[Object]) -> Outcome:
    """Remove every sidecar and every object that an injection created, and restore what it changed."""
    manifests = ManifestSet(objects)
    for index, obj in enumerate(objects):
        workload = workload_of(obj)
        if is_ours(obj):
            manifests.remove(index)
        elif workload is not None and (template := uninject(workload.template)) is not None:
            manifests.change(index, with_template(obj, workload.path, template), result=Result.UNINJECTED)
        elif services.is_service(obj) and (service := services.given_back(obj)) is not None:
            manifests.change(index, service, "targetPort restored")
        elif (autoscaler := scaling.given_back(obj)) is not None:
            manifests.change(index, autoscaler, "metrics restored")
    return manifests.outcome()
