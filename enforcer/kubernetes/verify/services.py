"""Resolves the ports of Services in pods, as Kubernetes does.

A name is searched in the containers first. Since Kubernetes 1.32 native sidecars follow (kubernetes#127958); before,
a Service finds no port of theirs by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from enforcer.kubernetes.selectors import Labels, selects_all
from enforcer.kubernetes.verify.enforcers import is_native
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

    service: str
    port: str
    endpoint: Endpoint | None
    on: str = ""
    """The versions of Kubernetes in which it does, for people; empty for all."""

    def __str__(self) -> str:
        return f"service/{self.service} port {self.port}{self.on}"


def is_service(obj: Object) -> bool:
    return (obj.get("apiVersion"), obj.get("kind")) == ("v1", "Service")


def selects_labels(service: Object, labels: Labels) -> bool:
    """Return whether a Service selects pods with these labels."""
    spec = section(service, "spec")
    selector = section(spec, "selector")
    return bool(selector) and spec.get("type") != "ExternalName" and selects_all(selector, labels)


def routes(service: Object, spec: Object, oldest: Version) -> Iterator[Route]:
    """Yield where the ports of a Service lead in a pod, in every version of Kubernetes from the oldest one."""
    name = str(section(service, "metadata").get("name"))
    for entry in items(section(service, "spec"), "ports"):
        protocol = protocol_of(entry)
        before = _resolve(entry, spec, protocol, native=False)
        since = _resolve(entry, spec, protocol, native=True)
        port = str(entry.get("port"))
        if before == since or oldest >= _NAMED_NATIVE:
            yield Route(name, port, since)
        else:
            edge = ".".join(map(str, _NAMED_NATIVE))
            yield Route(name, port, before, f" before Kubernetes {edge}")
            yield Route(name, port, since, f" since Kubernetes {edge}")


def _resolve(entry: Object, spec: Object, protocol: str, native: bool) -> Endpoint | None:
    # 0 and "" count as not set; the default is the Service's own port.
    target: Any = entry.get("targetPort") or entry.get("port")
    if isinstance(target, str) and target.isdecimal():
        target = int(target)
    if isinstance(target, int):
        return Endpoint(protocol, target)
    sidecars = [container for container in items(spec, "initContainers") if is_native(container)] if native else []
    for container in (*items(spec, "containers"), *sidecars):
        for port in items(container, "ports"):
            number = port.get("containerPort")
            if port.get("name") == target and protocol_of(port) == protocol and isinstance(number, int):
                return Endpoint(protocol, number)
    return None


def protocol_of(port: Object) -> str:
    """Return the protocol of a port of a container or a Service."""
    protocol = port.get("protocol")
    return protocol if isinstance(protocol, str) and protocol else "TCP"
