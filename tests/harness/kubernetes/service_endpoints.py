"""Where a Service sends: what an endpoints controller finds in a pod, and who listens there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
NATIVE_FOUND = (1, 32)
"""Since when the ports of native sidecars are found by their names, after those of containers."""


def resolved(spec: Object, port: Object, version: tuple[int, int]) -> int | None:
    """Return the number that a Service's port leads to in a pod; None if it finds nothing there."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    protocol = port.get("protocol") or "TCP"
    for one in _searched(spec, version):
        for found in one.get("ports") or ():
            if found.get("name") == target and (found.get("protocol") or "TCP") == protocol:
                return int(found["containerPort"])
    return None


def _searched(spec: Object, version: tuple[int, int]) -> Iterator[Object]:
    yield from spec["containers"]
    if version >= NATIVE_FOUND:
        yield from (one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always")
