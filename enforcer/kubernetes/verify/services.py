"""Resolves the ports of Services in pods, as Kubernetes does.

A name is searched in the containers first. Since Kubernetes 1.32 native sidecars follow (kubernetes#127958); before,
a Service finds no port of theirs by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from enforcer.kubernetes.selectors import may_select
from enforcer.kubernetes.verify.enforcers import is_native
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, items, section

Version = tuple[int, int]
_NAMED_NATIVE: Final[Version] = (1, 32)
"""The first version in which a Service finds a native sidecar's port by its name."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A port at a pod's addresses."""

    protocol: str
    number: int

    def __str__(self) -> str:
        return f"{self.protocol} port {self.number}"


@dataclass(frozen=True, slots=True)
class Route:
    """A port of a Service, and the endpoint that it resolves to; None if the pod has no such port."""

    source: str
    """The Service, as `kind/name`; or the EndpointSlice, if it belongs to none."""
    port: str
    endpoint: Endpoint | None
    on: str = ""
    """The versions of Kubernetes in which it does, for people; empty for all."""
    masks: bool = False
    """True if the network may show its clients with the address of a node."""

    def __str__(self) -> str:
        return f"{self.source} port {self.port}{self.on}"


def is_service(obj: Object) -> bool:
    return (obj.get("apiVersion"), obj.get("kind")) == ("v1", "Service")


def may_select_pods(service: Object, workload: Workload) -> bool:
    """Return whether a Service selects pods of a workload, or may, whatever its namespace."""
    spec = section(service, "spec")
    selector = section(spec, "selector")
    if not selector or spec.get("type") == "ExternalName":
        return False
    return may_select({"matchLabels": selector}, workload.labels, workload.added_labels)


def masks(service: Object) -> bool:
    """Return whether the network may show clients of a Service with the address of a node, for which it has ports."""
    spec = section(service, "spec")
    on_nodes = spec.get("type") in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))
    return on_nodes and spec.get("externalTrafficPolicy") != "Local"


def routes(service: Object, spec: Object, oldest: Version) -> Iterator[Route]:
    """Yield where the ports of a Service lead in a pod, in every version of Kubernetes from the oldest one."""
    source, masked = f"service/{section(service, 'metadata').get('name')}", masks(service)
    for entry in items(section(service, "spec"), "ports"):
        protocol = protocol_of(entry)
        before = _resolve(entry, spec, protocol, native=False)
        since = _resolve(entry, spec, protocol, native=True)
        port = str(entry.get("port"))
        if before == since or oldest >= _NAMED_NATIVE:
            yield Route(source, port, since, masks=masked)
        else:
            edge = ".".join(map(str, _NAMED_NATIVE))
            yield Route(source, port, before, f" before Kubernetes {edge}", masked)
            yield Route(source, port, since, f" since Kubernetes {edge}", masked)


def _resolve(entry: Object, spec: Object, protocol: str, native: bool) -> Endpoint | None:
    # 0 and "" count as not set; the default is the Service's own port.
    target: Any = entry.get("targetPort") or entry.get("port")
    explicit = int(target) if isinstance(target, str) and target.isdecimal() else port_number(target)
    if explicit is not None:
        return Endpoint(protocol, explicit)
    sidecars = [container for container in items(spec, "initContainers") if is_native(container)] if native else []
    for container in (*items(spec, "containers"), *sidecars):
        for port in items(container, "ports"):
            number = port_number(port.get("containerPort"))
            if port.get("name") == target and protocol_of(port) == protocol and number is not None:
                return Endpoint(protocol, number)
    return None


def port_number(value: Any) -> int | None:
    """Return a port's number, which kubectl accepts with a fraction of zero (`8080.0`), too; None if it is not one."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def protocol_of(port: Object) -> str:
    """Return the protocol of a port of a container or a Service."""
    protocol = port.get("protocol")
    return protocol if isinstance(protocol, str) and protocol else "TCP"
