"""`enforcer inject --check`: reports for every selected workload whether it has the sidecar; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import status_of
from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.inject.workload_pass import Options, WorkloadPass
from enforcer.kubernetes.workloads import Workload, all_containers
from enforcer.yamltext.objects import Object


def check_all(objects: Sequence[Object], options: Options) -> Outcome:
    """Check every workload that the options select."""
    workloads = WorkloadPass(objects, options)

    def check(index: int, workload: Workload) -> None:
        status = status_of(workload.template)
        if status is not None and any(each.get("name") == names.CONTAINER for each in all_containers(workload.spec)):
            workloads.manifests.report(index, Result.INJECTED, f"by version {status.version}, mode {status.mode}")
            return
        # A workload that cannot or need not be injected is reported by the error that this raises.
        workloads.inspect(index, workload)
        workloads.manifests.report(index, Result.MISSING, "no sidecar: `enforcer inject`")

    return workloads.run(check, unable=Result.MISSING)
