"""Finds the port of a pod to protect, and checks and chooses the names of ports."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.workloads import NotInjectableError, Reason, all_containers, containers
from enforcer.yamltext.objects import Object, items

MAX_NAME: Final = 15
"""Characters in a port's name (RFC 6335 §5.1)."""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port of a container; `name` is None if it has none, or if the port is not declared."""

    container: str
    number: int
    name: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.number}" if self.name else str(self.number)


def declared(container: Object) -> Iterator[Port]:
    """Yield the TCP ports that a container declares."""
    for entry in items(container, "ports"):
        number = entry.get("containerPort")
        if is_tcp(entry) and isinstance(number, int):
            name = entry.get("name")
            yield Port(str(container.get("name")), number, name if isinstance(name, str) and name else None)


def is_tcp(port: Object) -> bool:
    """Return whether a port of a container or a Service is a TCP port (the default protocol)."""
    return port.get("protocol") in (None, "TCP")


def number_of(container: Object, port: Any) -> int | None:
    """Return the number of the port that a probe names in its own container; None if there is no such port."""
    if isinstance(port, str) and port.isdecimal():
        return int(port)
    if isinstance(port, int):
        return port
    return next((other.number for other in declared(container) if other.name == port), None)


def find_port(spec: Object, settings: Settings, targets: Sequence[str | int]) -> Port:
    """Return the port to protect; `targets` are the known Services' target ports. Raises NotInjectableError."""
    candidates = [port for container in _eligible(spec, settings) for port in declared(container)]
    if settings.port is not None:
        return _wanted(spec, settings, settings.port, candidates)
    if not candidates and targets:
        return _wanted(spec, settings, _only(list(dict.fromkeys(targets))), candidates)
    if not candidates:
        if any(items(container, "ports") for container in containers(spec)):
            raise NotInjectableError(Reason.UDP_ONLY, "it has only UDP ports; the enforcer protects TCP")
        raise NotInjectableError(Reason.NO_PORT, "no TCP port")
    if len(candidates) > 1:
        candidates = [port for port in candidates if port.name in targets or port.number in targets] or candidates
    return _only(candidates)


def _eligible(spec: Object, settings: Settings) -> list[Object]:
    """Return the containers whose ports may be protected: the one that the settings name, or all."""
    every = containers(spec)
    if settings.container is None:
        return every
    eligible = [container for container in every if container.get("name") == settings.container]
    if not eligible:
        known = ", ".join(str(container.get("name")) for container in every)
        raise NotInjectableError(Reason.BAD_SETTING, f"no container is called {settings.container}; there are: {known}")
    return eligible


def _wanted(spec: Object, settings: Settings, port: Any, candidates: Sequence[Port]) -> Port:
    if matching := [candidate for candidate in candidates if port in (candidate.name, candidate.number)]:
        return _only(matching)
    if isinstance(port, str):
        known = ", ".join(map(str, candidates)) or "none"
        raise NotInjectableError(Reason.BAD_SETTING, f"no TCP port is called {port}; there are: {known}")
    eligible = _eligible(spec, settings)
    if len(eligible) > 1:
        known = ", ".join(str(container.get("name")) for container in eligible)
        message = f"no container declares port {port}; choose its container (--container): {known}"
        raise NotInjectableError(Reason.AMBIGUOUS_PORT, message)
    return Port(str(eligible[0].get("name")), port, None)


T = TypeVar("T", Port, str | int)


def _only(ports: Sequence[T]) -> T:
    if len(ports) > 1:
        known = ", ".join(f"{port} of {port.container}" if isinstance(port, Port) else str(port) for port in ports)
        message = f"it has several ports; choose one (--port, --container): {known}"
        raise NotInjectableError(Reason.AMBIGUOUS_PORT, message)
    return ports[0]


_CHOOSE: Final = "choose another (--listen-port, --set adminPort=…)"


def check_port(spec: Object, port: Port, own: Collection[int]) -> None:
    """Raise NotInjectableError if the port cannot be protected; `own` are the ports that the enforcer needs."""
    for container in containers(spec):
        for entry in items(container, "ports"):
            number = entry.get("containerPort")
            if entry.get("hostPort") and number == port.number and is_tcp(entry):
                message = f"hostPort {entry['hostPort']} opens the app's port on the node, bypassing the enforcer"
                raise NotInjectableError(Reason.HOST_PORT, message)
            if number in own and is_tcp(entry):
                message = f"the enforcer's port {number} is taken by {container.get('name')}; {_CHOOSE}"
                raise NotInjectableError(Reason.PORT_TAKEN, message)
    if port.number in own:
        message = f"the enforcer's port {port.number} is the app's own port; {_CHOOSE}"
        raise NotInjectableError(Reason.PORT_TAKEN, message)


def check_name(spec: Object, port: Port) -> None:
    """Raise NotInjectableError if the port has several names, or if another port has the same name."""
    for container in containers(spec):
        for other in declared(container):
            if other == port:
                continue
            if other.name == port.name and port.name is not None:
                message = f"{other.container} also has a port called {other.name}, which a Service may find; rename it"
                raise NotInjectableError(Reason.NAME_TAKEN, message)
            if other.number == port.number and other.name is not None:
                message = f"port {other.number} is also called {other.name}, which bypasses the enforcer; remove it"
                raise NotInjectableError(Reason.NAME_TAKEN, message)


def new_name(wanted: str, taken: Collection[str]) -> str:
    """Return the wanted name, shortened to a valid port name and made unique."""
    name = wanted[:MAX_NAME].rstrip("-")
    number = 1
    while name in taken:
        number += 1
        ending = f"-{number}"
        name = wanted[: MAX_NAME - len(ending)].rstrip("-") + ending
    return name


def port_names(spec: Object) -> set[str]:
    """Return the names of all ports of a pod, in every container and of every protocol."""
    ports = (port for container in all_containers(spec) for port in items(container, "ports"))
    return {str(port["name"]) for port in ports if port.get("name")}
