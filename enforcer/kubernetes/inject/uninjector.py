"""Reverts an injection in every object: workloads, Services and autoscalers become what they were before."""

from __future__ import annotations

from collections.abc import Sequence

from enforcer.kubernetes.annotations import is_ours
from enforcer.kubernetes.inject import scaling, services
from enforcer.kubernetes.inject.manifest_set import ManifestSet, Outcome
from enforcer.kubernetes.inject.pod.uninject import uninject
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.workloads import with_template, workload_of
from enforcer.yamltext.objects import Object


def uninject_all(things: Sequence[Object]) -> Outcome:
    """Remove every sidecar and every object that an injection created, and restore what it changed."""
    manifests = ManifestSet(things)
    for index, thing in enumerate(things):
        workload = workload_of(thing)
        if is_ours(thing):
            manifests.current[index] = None
            manifests.report(index, Result.REMOVED, "not from the cluster: kubectl delete")
        elif workload is not None and (template := uninject(workload.template)) is not None:
            manifests.current[index] = with_template(thing, workload.path, template)
            manifests.report(index, Result.UNINJECTED)
        elif services.is_service(thing) and (service := services.given_back(thing)) is not None:
            manifests.current[index] = service
            manifests.report(index, Result.CHANGED, "targetPort is what it was before")
        elif (autoscaler := scaling.given_back(thing)) is not None:
            manifests.current[index] = autoscaler
            manifests.report(index, Result.CHANGED, "its metrics are what they were before")
    return manifests.outcome()
