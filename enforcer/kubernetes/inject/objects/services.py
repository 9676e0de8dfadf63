"""Services that select a workload's pods, and how their target ports find the app's port."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from enforcer.kubernetes.annotations import with_status, without_status
from enforcer.kubernetes.inject.objects.api_server import Call
from enforcer.kubernetes.inject.pod.ports import Port, is_tcp, new_name, port_names
from enforcer.kubernetes.inject.pod.protocols import Target
from enforcer.kubernetes.verify.services import may_select_pods
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity, items, section


def is_service(obj: Object) -> bool:
    return (obj.get("apiVersion"), obj.get("kind")) == ("v1", "Service")


def selects_pods_of(service: Object, workload: Workload) -> bool:
    """Return whether a Service may select a workload's pods; a namespace that is not given counts as the other's."""
    near = may_share_namespace(identity(service)[1], workload.namespace)
    return near and may_select_pods(service, workload)


def may_share_namespace(entry: str | None, other: str | None) -> bool:
    """Return whether two namespaces may be the same; None is the namespace that kubectl chooses later."""
    return entry == other or entry is None or other is None


def is_named(obj: Object, kind: str, name: str, namespace: str | None) -> bool:
    """Return whether an object has a kind and a name, in a namespace that may be the same."""
    other, its_namespace = identity(obj)
    return (obj.get("kind"), other) == (kind, name) and may_share_namespace(its_namespace, namespace)


def targets(service: Object) -> Iterator[str | int]:
    """Yield the target of each TCP port of a Service: a name or a number."""
    return (target.port for target in destinations(service))


def destinations(service: Object, calls: Collection[Call] = ()) -> Iterator[Target]:
    """Yield the TCP ports of a Service with their targets; `calls` are the API server's calls of Services."""
    for entry in items(section(service, "spec"), "ports"):
        target = _target(entry)
        if is_tcp(entry) and target is not None:
            yield Target(target, entry, _is_called(service, entry.get("port"), calls))


def _is_called(service: Object, port: object, calls: Collection[Call]) -> bool:
    name, namespace = identity(service)
    same = (call for call in calls if (call.name, call.port) == (name, port))
    return any(may_share_namespace(namespace, call.namespace) for call in same)


def by_name(services: Sequence[Object], port: Port) -> bool:
    """Return whether any of the Services finds the port by its name."""
    return port.name is not None and any(port.name in targets(service) for service in services)


def by_number(service: Object, port: Port) -> bool:
    """Return whether a Service finds the port by its number."""
    return port.number in targets(service)


def is_headless(service: Object) -> bool:
    """Return whether a Service is headless: its clients resolve the pods' addresses and choose the port themselves."""
    return section(service, "spec").get("clusterIP") == "None"


def name_for(services: Sequence[Object], port: Port, spec: Object) -> str:
    """Choose a name for a port without one: the name that a Service has for its own port, or `http`.

    No port of the pod has the name, and no Service refers to it.
    """
    every = [entry for service in services for entry in items(section(service, "spec"), "ports")]
    wanted = (str(entry["name"]) for entry in every if entry.get("name") and _target(entry) == port.number)
    taken = port_names(spec) | {str(target) for service in services for target in targets(service)}
    return new_name(next(wanted, "http"), taken)


def with_named_target(service: Object, port: Port, name: str) -> Object:
    """Return the Service with the port's name in place of its number as target."""
    ports = [{**entry, "targetPort": name} if _leads_to(entry, port) else entry for entry in service["spec"]["ports"]]
    return {**service, "spec": {**service["spec"], "ports": ports}}


def taken_over(service: Object, port: Port, name: str) -> Object:
    """Return the Service as `with_named_target` does, with its former targets in the status annotation."""
    ports = [entry for entry in items(service["spec"], "ports") if _leads_to(entry, port)]
    former = {_key(entry): entry.get("targetPort") for entry in ports}
    return with_status(with_named_target(service, port, name), {"targetPorts": former})


def is_taken_over(service: Object) -> bool:
    """Return whether an earlier injection changed the targets, so that they may be changed again."""
    former = without_status(service)
    return former is not None and "targetPorts" in former[1]


def given_back(service: Object) -> Object | None:
    """Return the Service as it was before the injection; None if it was not changed."""
    if (parts := without_status(service)) is None:
        return None
    restored, former = parts
    spec = section(restored, "spec")
    ports = [_restored(entry, section(former, "targetPorts")) for entry in items(spec, "ports")]
    return {**restored, "spec": {**spec, "ports": ports}}


def _restored(entry: Object, former: Object) -> Object:
    if _key(entry) not in former:
        return entry
    target = former[_key(entry)]
    if target is None:
        return {key: value for key, value in entry.items() if key != "targetPort"}
    return {**entry, "targetPort": target}


def _key(entry: Object) -> str:
    return f"{entry.get('port')}/{entry.get('protocol') or 'TCP'}"


def _leads_to(entry: Object, port: Port) -> bool:
    return is_tcp(entry) and _target(entry) == port.number


def _target(entry: Object) -> str | int | None:
    # Default: the Service's own port. 0 and "" count as not set.
    target = entry.get("targetPort") or entry.get("port")
    if isinstance(target, str) and target.isdecimal():
        return int(target)
    return target if isinstance(target, str | int) else None
