"""The ports of a pod at which an app may listen, as far as the objects say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from enforcer.kubernetes.verify.enforcers import Enforcer, is_native
from enforcer.kubernetes.verify.services import Endpoint, protocol_of
from enforcer.yamltext.objects import Object, items, section

_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True, slots=True)
class AppPort:
    """A port of an app: its endpoint, its container and name if they are known; `declared` if the container says so."""

    endpoint: Endpoint
    declared: bool = False
    container: str = ""
    name: str = ""
    host_port: int = 0
    """The port of the node that leads to it; 0 for none."""
    native: int = -1
    """Index of its container among the init containers, if it is a native sidecar; otherwise -1."""

    def merged(self, other: AppPort) -> AppPort:
        """Return this port with the host port and the native sidecar of another container that declares it, too."""
        early = [index for index in (self.native, other.native) if index >= 0]
        return replace(self, host_port=self.host_port or other.host_port, native=min(early, default=-1))

    def __str__(self) -> str:
        name = f" {self.name}" if self.name else ""
        owner = f" of {self.container}" if self.container else ""
        return f"{self.endpoint.protocol} port{name} {self.endpoint.number}{owner}"


def app_ports(spec: Object, annotations: Object, ours: frozenset[str]) -> Iterator[AppPort]:
    """Yield the ports of all containers that keep running, except ours: declared, probed or scraped."""
    running = [
        *((-1, container) for container in items(spec, "containers")),
        *((index, container) for index, container in enumerate(items(spec, "initContainers")) if is_native(container)),
    ]
    for index, container in running:
        name = str(container.get("name"))
        if name in ours:
            continue
        for port in items(container, "ports"):
            number, host = port.get("containerPort"), port.get("hostPort")
            if isinstance(number, int):
                endpoint = Endpoint(protocol_of(port), number)
                called = str(port.get("name") or "")
                yield AppPort(endpoint, True, name, called, host if isinstance(host, int) else 0, index)
        for number in _probed(container):
            yield AppPort(Endpoint("TCP", number), False, name, native=index)
    scraped = str(annotations.get("prometheus.io/port"))
    if scraped.isdecimal():
        yield AppPort(Endpoint("TCP", int(scraped)))


def _probed(container: Object) -> Iterator[int]:
    """Yield the ports that the kubelet connects to by number; a name is that of a declared port."""
    for probe in (section(container, key) for key in _PROBES):
        for action in ("httpGet", "tcpSocket", "grpc"):
            port: Any = section(probe, action).get("port")
            if section(probe, action).get("host") in (None, "") and str(port).isdecimal():
                yield int(port)


def own_endpoints(enforcer: Enforcer) -> frozenset[Endpoint]:
    """Return the endpoints at which an enforcer itself listens."""
    ports = (enforcer.listen, enforcer.admin)
    return frozenset(Endpoint("TCP", number) for number in ports if number is not None)
