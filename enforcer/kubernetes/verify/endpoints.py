"""EndpointSlices and Endpoints that lead to pods: written by hand, they open ways that no selector of a Service shows.

An address of a pod counts in whatever namespace the object is: the network forwards to addresses, and a Service of
another namespace leads to them, too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple

from enforcer.kubernetes.verify.services import Endpoint, Route, masks, port_number, protocol_of
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity, items, section

ByNamespace = Mapping[str | None, Sequence[Object]]
"""Objects by namespace; None if they name none, and it is not known."""

_SERVICE: Final = "kubernetes.io/service-name"
"""Label of an EndpointSlice that names its Service."""
_GENERATED: Final = "(?:-[a-z0-9]+){1,2}"
_ENDINGS: Final = {"Pod": "", "StatefulSet": "-[0-9]+"}
"""The part that controllers append to a workload's name in the names of its pods, by kind, if it is not generated."""


def is_endpoints(obj: Object) -> bool:
    return obj.get("kind") in ("EndpointSlice", "Endpoints")


class _Part(NamedTuple):
    """The ports at which some endpoints are reached, and the Service that leads there, as people know it."""

    space: str | None
    source: str
    ports: Sequence[Object]
    entries: Sequence[Object]
    """The ports of the Service; empty if there is none."""
    masked: bool


class EndpointIndex:
    """The pods that EndpointSlices and Endpoints lead to, by address and by name: a cluster has thousands."""

    def __init__(self, objects: ByNamespace, services: ByNamespace) -> None:
        self._by_address: defaultdict[str, list[_Part]] = defaultdict(list)
        self._by_pod: defaultdict[str, list[tuple[str | None, _Part]]] = defaultdict(list)
        for space, group in objects.items():
            named = {identity(service)[0]: service for service in services.get(space, ())}
            for obj in group:
                self._add(obj, named.get(_service_name(obj)), space)

    def _add(self, obj: Object, service: Object | None, space: str | None) -> None:
        source = service or obj
        called = f"{str(source.get('kind')).lower()}/{identity(source)[0]}"
        entries = [] if service is None else items(section(service, "spec"), "ports")
        for subset in items(obj, "subsets") or [obj]:
            part = _Part(space, called, items(subset, "ports"), entries, service is not None and masks(service))
            for key in ("endpoints", "addresses", "notReadyAddresses"):
                for endpoint in items(subset, key):
                    for address in filter(None, map(_canonical, _addresses(endpoint))):
                        self._by_address[address].append(part)
                    reference = section(endpoint, "targetRef")
                    if reference.get("kind") == "Pod":
                        self._by_pod[str(reference.get("name"))].append((reference.get("namespace") or space, part))

    def routes(self, workload: Workload, namespace: str | None) -> Iterator[Route]:
        """Yield where the objects lead in the pods of a workload in a namespace, each way once."""
        parts = [part for address in _own_addresses(workload) for part in self._by_address.get(address, ())]
        for space, part in self._naming(workload):
            if space is None or namespace is None or space == namespace:
                parts.append(part)
        yield from dict.fromkeys(route for part in parts for route in _routes(part, namespace))

    def _naming(self, workload: Workload) -> list[tuple[str | None, _Part]]:
        """Return the parts that name a pod of a workload, or may, with the pod's namespace."""
        ending = _ENDINGS.get(workload.kind, _GENERATED)
        if not ending:
            return self._by_pod.get(workload.name, [])
        form = re.compile(rf"{re.escape(workload.name)}{ending}")
        return [entry for name, entries in self._by_pod.items() if form.fullmatch(name) for entry in entries]


def _service_name(obj: Object) -> str:
    """Return the name of the Service that an object belongs to; empty if it names none."""
    is_slice = obj.get("kind") == "EndpointSlice"
    return str(section(obj, "metadata", "labels").get(_SERVICE, "")) if is_slice else identity(obj)[0]


def _routes(part: _Part, namespace: str | None) -> Iterator[Route]:
    source = part.source if part.space in (None, namespace) else f"{part.source} -n {part.space}"
    for port in part.ports:
        number = port_number(port.get("port"))
        if number is not None:
            # The ports of a Service and of its endpoints belong together by their names; a single port needs none.
            same = (entry.get("port") for entry in part.entries if _name(entry) == _name(port))
            yield Route(source, str(next(same, number)), Endpoint(protocol_of(port), number), masks=part.masked)


def _name(port: Object) -> str:
    return str(port.get("name") or "")


def _addresses(endpoint: Object) -> Iterable[object]:
    """Return the addresses of an endpoint: an EndpointSlice has a list of them, Endpoints have one."""
    listed = endpoint.get("addresses")
    return listed if isinstance(listed, list) else [endpoint.get("ip")]


def _own_addresses(workload: Workload) -> set[str]:
    """Return the addresses of a running pod; none for other workloads, whose pods are not known."""
    status = section(workload.template, "status")
    addresses = [status.get("podIP"), *(entry.get("ip") for entry in items(status, "podIPs"))]
    return {address for address in map(_canonical, addresses) if address is not None}


def _canonical(address: object) -> str | None:
    """Return an address in the canonical form of its family; None if it is not one."""
    try:
        return ip_address(address).compressed if isinstance(address, str) else None
    except ValueError:
        return None
