"""The port of a pod that is protected, and the names that ports have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.workloads import NotInjectableError, Reason, containers
from enforcer.yamltext.objects import Object, items

MOST_NAME: Final = 15
"""Characters of a port's name (RFC 6335 §5.1)."""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port of a container; `name` is None where it has none, or is not declared."""

    container: str
    number: int
    name: str | None

    def __str__(self) -> str:
        return f"{self.name} {self.number}" if self.name else str(self.number)


def declared(container: Object) -> Iterator[Port]:
    """Give the TCP ports that a container declares."""
    for one in items(container, "ports"):
        number = one.get("containerPort")
        if is_tcp(one) and isinstance(number, int):
            name = one.get("name")
            yield Port(str(container.get("name")), number, name if isinstance(name, str) and name else None)


def is_tcp(port: Object) -> bool:
    """Tell whether a port of a container or a Service is one for TCP, which it is unless it says otherwise."""
    return port.get("protocol") in (None, "TCP")


def number_of(container: Object, port: Any) -> int | None:
    """Return the number of a port that a probe names, in its own container; None where there is none."""
    if isinstance(port, str) and port.isdecimal():
        return int(port)
    if isinstance(port, int):
        return port
    return next((one.number for one in declared(container) if one.name == port), None)


def find_port(spec: Object, settings: Settings, targets: Sequence[str | int]) -> Port:
    """Find the protected port; `targets` are what Services in sight send to. Raises NotInjectableError."""
    candidates = [port for one in _chosen(spec, settings) for port in declared(one)]
    if settings.port is not None:
        return _wanted(spec, settings, settings.port, candidates)
    if not candidates and targets:
        return _wanted(spec, settings, _only(list(dict.fromkeys(targets))), candidates)
    if not candidates:
        if any(items(one, "ports") for one in containers(spec)):
            raise NotInjectableError(Reason.UDP_ONLY, "its ports are for UDP, which carries no requests to judge")
        raise NotInjectableError(Reason.NO_PORT, "no TCP port")
    if len(candidates) > 1:
        candidates = [port for port in candidates if port.name in targets or port.number in targets] or candidates
    return _only(candidates)


def _chosen(spec: Object, settings: Settings) -> list[Object]:
    found = containers(spec)
    if settings.container is None:
        return found
    chosen = [one for one in found if one.get("name") == settings.container]
    if not chosen:
        known = ", ".join(str(one.get("name")) for one in found)
        raise NotInjectableError(Reason.BAD_SETTING, f"no container is called {settings.container}; there are: {known}")
    return chosen


def _wanted(spec: Object, settings: Settings, port: Any, candidates: Sequence[Port]) -> Port:
    found = [one for one in candidates if port in (one.name, one.number)]
    if len(found) == 1:
        return found[0]
    if found:
        return _only(found)
    if isinstance(port, str):
        known = ", ".join(map(str, candidates)) or "none"
        raise NotInjectableError(Reason.BAD_SETTING, f"no TCP port is called {port}; there are: {known}")
    chosen = _chosen(spec, settings)
    if len(chosen) > 1:
        known = ", ".join(str(one.get("name")) for one in chosen)
        message = f"no container declares the port {port}; say whose it is (--container): {known}"
        raise NotInjectableError(Reason.AMBIGUOUS_PORT, message)
    return Port(str(chosen[0].get("name")), port, None)


T = TypeVar("T", Port, str | int)


def _only(found: Sequence[T]) -> T:
    if len(found) > 1:
        known = ", ".join(f"{one} of {one.container}" if isinstance(one, Port) else str(one) for one in found)
        message = f"it has several ports; say which one (--port, --container): {known}"
        raise NotInjectableError(Reason.AMBIGUOUS_PORT, message)
    return found[0]


_CHOOSE: Final = "choose another (--listen-port, --set adminPort=…)"


def check_port(spec: Object, port: Port, own: Collection[int]) -> None:
    """Raise NotInjectableError where a port cannot be protected; `own` are the ports that the enforcer needs."""
    for container in containers(spec):
        for one in items(container, "ports"):
            number = one.get("containerPort")
            if one.get("hostPort") and number == port.number and is_tcp(one):
                message = f"hostPort {one['hostPort']} leads from the node to the app, past the enforcer"
                raise NotInjectableError(Reason.HOST_PORT, message)
            if number in own and is_tcp(one):
                message = f"the enforcer's port {number} is one of {container.get('name')}; {_CHOOSE}"
                raise NotInjectableError(Reason.PORT_TAKEN, message)
    if port.number in own:
        message = f"the enforcer's port {port.number} is the app's; {_CHOOSE}"
        raise NotInjectableError(Reason.PORT_TAKEN, message)


def check_name(spec: Object, port: Port) -> None:
    """Raise NotInjectableError where the port has several names, or its name stands for another port too."""
    for container in containers(spec):
        for one in declared(container):
            if one == port:
                continue
            if one.name == port.name and port.name is not None:
                message = f"{one.container}, too, has a port {one.name}: a Service would find that one; rename it"
                raise NotInjectableError(Reason.NAME_TAKEN, message)
            if one.number == port.number and one.name is not None:
                message = f"port {one.number} is called {one.name} too, which would lead past the enforcer; remove it"
                raise NotInjectableError(Reason.NAME_TAKEN, message)


def new_name(wanted: str, taken: Collection[str]) -> str:
    """Shorten a name to what a port may be called, and make it unique."""
    name = wanted[:MOST_NAME].rstrip("-")
    at = 1
    while name in taken:
        at += 1
        ending = f"-{at}"
        name = wanted[: MOST_NAME - len(ending)].rstrip("-") + ending
    return name


def port_names(spec: Object) -> set[str]:
    """Return the names of all ports of a pod, of whatever protocol and container."""
    every = [one for key in ("containers", "initContainers") for one in items(spec, key)]
    return {str(port["name"]) for one in every for port in items(one, "ports") if port.get("name")}
