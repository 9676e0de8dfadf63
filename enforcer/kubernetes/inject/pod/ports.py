"""The ports of a pod: reads them, checks the one to protect, and chooses names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from enforcer.kubernetes import names
from enforcer.kubernetes.verify.services import port_number, protocol_of
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
        number = port_number(entry.get("containerPort"))
        if is_tcp(entry) and number is not None:
            name = entry.get("name")
            yield Port(str(container.get("name")), number, name if isinstance(name, str) and name else None)


def is_tcp(port: Object) -> bool:
    """Return whether a port of a container or a Service is a TCP port (the default protocol)."""
    return protocol_of(port) == "TCP"


def number_of(container: Object, port: Any) -> int | None:
    """Return the number of the port that a probe names in its own container; None if there is no such port."""
    if isinstance(port, str) and port.isdecimal():
        return int(port)
    if isinstance(port, int):
        return port
    if not isinstance(port, str):
        return None
    return next((other.number for other in declared(container) if other.name == port), None)


_CHOOSE: Final = "choose another (--listen-port, --set adminPort=…)"


def check_port(spec: Object, port: Port, own: Collection[int]) -> None:
    """Raise NotInjectableError if the port cannot be protected; `own` are the ports that the enforcer needs."""
    for container in _running(spec):
        for entry in items(container, "ports"):
            number = entry.get("containerPort")
            if number in own and is_tcp(entry):
                message = f"the enforcer's port {number} is taken by {container.get('name')}; {_CHOOSE}"
                raise NotInjectableError(Reason.PORT_TAKEN, message)
    if port.number in own:
        message = f"the enforcer's port {port.number} is the app's own port; {_CHOOSE}"
        raise NotInjectableError(Reason.PORT_TAKEN, message)


def check_host_port(spec: Object, port: Port) -> None:
    """Raise NotInjectableError if a port of the node leads to the app's port, which has no enforcer in mode `port`."""
    for entry in (entry for container in _running(spec) for entry in items(container, "ports")):
        if entry.get("hostPort") and entry.get("containerPort") == port.number and is_tcp(entry):
            message = (
                f"hostPort {entry['hostPort']} opens the app's port on the node, bypassing the enforcer; "
                "use --mode loopback or transparent"
            )
            raise NotInjectableError(Reason.HOST_PORT, message)


def _running(spec: Object) -> list[Object]:
    """Return the app's containers and native sidecars."""
    return [
        *containers(spec),
        *(each for each in items(spec, "initContainers") if each.get("restartPolicy") == "Always"),
    ]


def check_own_names(spec: Object, port: Port) -> None:
    """Raise NotInjectableError if a port of the app has the name of one of ours: a Service may find either."""
    if taken := {names.LISTEN_PORT_NAME, names.ADMIN_PORT_NAME} & (port_names(spec) | {port.name or ""}):
        message = f"its pods have a port called {min(taken)}, which is the name of a port of the enforcer; rename it"
        raise NotInjectableError(Reason.NAME_TAKEN, message)


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
