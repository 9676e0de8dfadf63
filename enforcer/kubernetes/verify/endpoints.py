"""EndpointSlices and Endpoints that name pods: written by hand, they show ports that nothing else mentions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from enforcer.kubernetes.verify.services import Endpoint, port_number, protocol_of
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, items, section


def is_endpoints(obj: Object) -> bool:
    return obj.get("kind") in ("EndpointSlice", "Endpoints")


def leading_to(objects: Iterable[Object], workload: Workload) -> Iterator[Endpoint]:
    """Yield the ports of a workload's pods that the objects lead to; the objects are in their namespace."""
    for obj in objects:
        slices = items(obj, "subsets") or [obj]
        for part in slices:
            addresses = [*items(part, "endpoints"), *items(part, "addresses"), *items(part, "notReadyAddresses")]
            if any(_is_pod_of(section(address, "targetRef"), workload) for address in addresses):
                for port in items(part, "ports"):
                    number = port_number(port.get("port"))
                    if number is not None:
                        yield Endpoint(protocol_of(port), number)


def _is_pod_of(reference: Object, workload: Workload) -> bool:
    name = str(reference.get("name"))
    if reference.get("kind") != "Pod":
        return False
    if workload.kind == "StatefulSet":
        return re.fullmatch(rf"{re.escape(workload.name)}-[0-9]+", name) is not None
    return workload.kind == "Pod" and name == workload.name
