"""Services that lead to a pod, and how their ports find the app's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from enforcer.kubernetes.annotations import marked, unmarked
from enforcer.kubernetes.inject.pod.ports import Port, is_tcp, new_name, port_names
from enforcer.kubernetes.selectors import selects_all
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity, items, section


def is_service(thing: Object) -> bool:
    """Tell whether an object is a Service."""
    return (thing.get("apiVersion"), thing.get("kind")) == ("v1", "Service")


def leads_to(service: Object, workload: Workload) -> bool:
    """Tell whether a Service selects the pods of a workload; where one has no namespace, it may be the other's."""
    spec = section(service, "spec")
    selector = section(spec, "selector")
    if spec.get("type") == "ExternalName" or not selector:
        return False
    return near(identity(service)[1], workload.namespace) and selects_all(selector, workload.labels)


def near(one: str | None, other: str | None) -> bool:
    """Tell whether two namespaces may be the same; None is the one that kubectl is told of."""
    return one == other or one is None or other is None


def targets(service: Object) -> Iterator[str | int]:
    """Give what the TCP ports of a Service send to: a port's name or number."""
    for one in items(section(service, "spec"), "ports"):
        target = _target(one)
        if is_tcp(one) and target is not None:
            yield target


def by_name(services: Sequence[Object], port: Port) -> bool:
    """Tell whether one of the Services finds a port by its name."""
    return port.name is not None and any(port.name in targets(one) for one in services)


def by_number(service: Object, port: Port) -> bool:
    """Tell whether a Service finds a port by its number."""
    return port.number in targets(service)


def is_headless(service: Object) -> bool:
    """Tell whether clients of a Service learn the pods' addresses, and choose the port themselves."""
    return section(service, "spec").get("clusterIP") == "None"


def name_for(services: Sequence[Object], port: Port, spec: Object) -> str:
    """Choose a name for a port that has none: the one that a Service has for its own port, else `http`.

    It is none that a port of the pod has, and none that a Service looks for in vain.
    """
    every = [one for service in services for one in items(section(service, "spec"), "ports")]
    wanted = (str(one["name"]) for one in every if one.get("name") and _target(one) == port.number)
    taken = port_names(spec) | {str(target) for service in services for target in targets(service)}
    return new_name(next(wanted, "http"), taken)


def renumbered(service: Object, port: Port, name: str) -> Object:
    """Return a Service that finds the port by a name where it did so by its number."""
    ports = [
        {**one, "targetPort": name} if is_tcp(one) and _target(one) == port.number else one
        for one in service["spec"]["ports"]
    ]
    return {**service, "spec": {**service["spec"], "ports": ports}}


def taken_over(service: Object, port: Port, name: str) -> Object:
    """Return it as `renumbered` does, with what it was before written down."""
    ports = items(service["spec"], "ports")
    former = {_key(one): one.get("targetPort") for one in ports if is_tcp(one) and _target(one) == port.number}
    return marked(renumbered(service, port, name), {"targetPorts": former})


def is_taken_over(service: Object) -> bool:
    """Tell whether a Service was changed to find the enforcer, so that it may be again."""
    found = unmarked(service)
    return found is not None and "targetPorts" in found[1]


def given_back(service: Object) -> Object | None:
    """Return a Service as it was before; None if nothing of it was changed."""
    found = unmarked(service)
    if found is None:
        return None
    restored, former = found
    targets_ = former.get("targetPorts", {})
    ports = [_restored(one, targets_) for one in items(section(restored, "spec"), "ports")]
    return {**restored, "spec": {**section(restored, "spec"), "ports": ports}}


def _restored(one: Object, former: Object) -> Object:
    if _key(one) not in former:
        return one
    target = former[_key(one)]
    if target is None:
        return {key: value for key, value in one.items() if key != "targetPort"}
    return {**one, "targetPort": target}


def _key(one: Object) -> str:
    return f"{one.get('port')}/{one.get('protocol') or 'TCP'}"


def _target(one: Object) -> str | int | None:
    target = one.get("targetPort")
    # Left out it is the Service's own port; as 0 and "" it was left out, too.
    found = target or one.get("port")
    if isinstance(found, str) and found.isdecimal():
        return int(found)
    return found if isinstance(found, str | int) else None
