"""`enforcer inject --prepare`: names the port and has Services use the name, which by itself changes no traffic.

Once this is rolled out, running pods declare the name, so that a later injection can change where the name leads.
"""

from __future__ import annotations

from collections.abc import Sequence

from enforcer.kubernetes.annotations import status_of
from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.kubernetes.inject.objects import services
from enforcer.kubernetes.inject.pod.ports import Port, is_tcp
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.inject.workload_pass import Options, WorkloadPass
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import Workload, containers, with_template
from enforcer.yamltext.objects import Object, items


def prepare_all(objects: Sequence[Object], options: Options) -> Outcome:
    """Prepare every workload that the options select."""
    workloads = WorkloadPass(objects, options)
    manifests = workloads.manifests

    def prepare(index: int, workload: Workload) -> None:
        if status_of(workload.template) is not None:
            manifests.report(index, Result.UNCHANGED, "already injected")
            return
        settings, _, selecting, choice = workloads.inspect(index, workload)
        port = choice.port
        if settings.mode is not Mode.PORT:
            manifests.report(index, Result.UNCHANGED, f"mode {settings.mode} needs no preparation")
            return
        shared = any(services.by_number(service, port) for _, service in selecting)
        name = workloads.shared_name(workload, port, selecting) if shared else port.name
        if name is None:
            name = services.name_for([service for _, service in selecting], port, workload.spec)
        if port.name is None:
            obj = with_template(objects[index], workload.path, _with_port_name(workload, port, name))
            manifests.change(index, obj, f'port {port.number} of {port.container} is now called "{name}"')
        for place, service in selecting:
            if services.by_number(service, port):
                changed = services.with_named_target(manifests.current[place] or service, port, name)
                manifests.change(place, changed, f'targetPort is now "{name}", the same port, instead of {port.number}')

    return workloads.run(prepare)


def _with_port_name(workload: Workload, port: Port, name: str) -> Object:
    """Return the template with a name for the port; a port that is not declared is declared."""

    def with_name(container: Object) -> Object:
        if container.get("name") != port.container:
            return container
        ports = [
            {**entry, "name": name} if entry.get("containerPort") == port.number and is_tcp(entry) else entry
            for entry in items(container, "ports")
        ]
        if not any(entry.get("name") == name for entry in ports):
            ports.append({"name": name, "containerPort": port.number})
        return {**container, "ports": ports}

    spec = {**workload.spec, "containers": [with_name(container) for container in containers(workload.spec)]}
    return {**workload.template, "spec": spec}
