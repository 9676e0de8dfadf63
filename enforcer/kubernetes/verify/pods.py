"""The ports of a pod at which an app may listen, as far as the objects say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from enforcer.kubernetes.verify.enforcers import Enforcer
from enforcer.kubernetes.verify.services import Endpoint, port_number, protocol_of
from enforcer.yamltext.objects import Object, items, section

_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS: Final = ("postStart", "preStop")


@dataclass(frozen=True, slots=True)
class AppPort:
    """A port of an app: its endpoint, its container and name if they are known; `declared` if the container says so."""

    endpoint: Endpoint
    declared: bool = False
    container: str = ""
    name: str = ""
    host_port: int = 0
    """The port of the node that leads to it; 0 for none."""
    init: int = -1
    """Index of its container among the init containers; -1 if it is not one of them."""

    def merged(self, other: AppPort) -> AppPort:
        """Return this port with the host port and the init container of another container that declares it, too."""
        early = [index for index in (self.init, other.init) if index >= 0]
        return replace(self, host_port=self.host_port or other.host_port, init=min(early, default=-1))

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        owner = f" of {self.container}" if self.container else ""
        return f"{self.endpoint.protocol} port{name} {self.endpoint.number}{owner}"


def app_ports(spec: Object, annotations: Object, ours: frozenset[str]) -> Iterator[AppPort]:
    """Yield the ports of all containers except ours: declared, probed, called by a hook, or scraped.

    Clients reach an init container, too, while it runs.
    """
    for index, container in _containers(spec, ours):
        name = _name(container)
        for port in items(container, "ports"):
            number, host = port_number(port.get("containerPort")), port_number(port.get("hostPort"))
            if number is not None:
                endpoint = Endpoint(protocol_of(port), number)
                yield AppPort(endpoint, True, name, str(port.get("name") or ""), host or 0, index)
        for number in _called(container):
            yield AppPort(Endpoint("TCP", number), False, name, init=index)
    scraped = str(annotations.get("prometheus.io/port"))
    if scraped.isdecimal():
        yield AppPort(Endpoint("TCP", int(scraped)))


def unreadable_parts(spec: Object, ours: frozenset[str]) -> Iterator[str]:
    """Yield the parts of a pod whose ports cannot be read, such as a parameter of a template, for people."""
    if not spec.get("containers"):
        yield "its pods have no containers"
    for key in ("containers", "initContainers"):
        if not _is_list_of_mappings(spec.get(key)):
            yield f"{key} is not a list of containers"
    for _, container in _containers(spec, ours):
        if not _is_list_of_mappings(container.get("ports")):
            yield f"ports of {_name(container)} is not a list of ports"
        for port in items(container, "ports"):
            for key in ("containerPort", "hostPort"):
                # null and 0 stand for no host port.
                if (port.get(key) or key == "containerPort") and port_number(port.get(key)) is None:
                    yield f"a port is not known: {key} {port.get(key)} of {_name(container)}"


def _is_list_of_mappings(value: Any) -> bool:
    """Return whether a value is a list of mappings, or absent."""
    return value is None or (isinstance(value, list) and all(isinstance(member, dict) for member in value))


def _name(container: Object) -> str:
    return str(container.get("name") or "")


def _containers(spec: Object, ours: frozenset[str]) -> list[tuple[int, Object]]:
    every = [*((-1, container) for container in items(spec, "containers")), *enumerate(items(spec, "initContainers"))]
    return [(index, container) for index, container in every if not _name(container) or _name(container) not in ours]


def _called(container: Object) -> Iterator[int]:
    """Yield the ports that the kubelet connects to by number; a name is that of a declared port."""
    handlers = [section(container, key) for key in _PROBES]
    handlers += [section(container, "lifecycle", key) for key in _HOOKS]
    for action in (section(handler, key) for handler in handlers for key in ("httpGet", "tcpSocket", "grpc")):
        port: Any = action.get("port")
        number = int(port) if isinstance(port, str) and port.isdecimal() else port_number(port)
        if number is not None and action.get("host") in (None, ""):
            yield number


def own_endpoints(enforcer: Enforcer) -> frozenset[Endpoint]:
    """Return the endpoints at which an enforcer itself listens."""
    ports = (enforcer.listen, enforcer.admin)
    return frozenset(Endpoint("TCP", number) for number in ports if number is not None)
