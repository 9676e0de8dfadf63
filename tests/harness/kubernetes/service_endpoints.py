"""Resolves a Service's target port in a pod, as the endpoints controller does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
NATIVE_SIDECARS_SINCE = (1, 32)
"""The first version that searches native sidecars for named ports, after the containers."""


def resolved(spec: Object, port: Object, version: tuple[int, int]) -> int | None:
    """Return the container port that a Service port resolves to; None if no container declares it."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    protocol = port.get("protocol") or "TCP"
    for container in _searched(spec, version):
        for declared in container.get("ports") or ():
            if declared.get("name") == target and (declared.get("protocol") or "TCP") == protocol:
                return int(declared["containerPort"])
    return None


def _searched(spec: Object, version: tuple[int, int]) -> Iterator[Object]:
    yield from spec["containers"]
    if version >= NATIVE_SIDECARS_SINCE:
        containers = spec.get("initContainers") or ()
        yield from (container for container in containers if container.get("restartPolicy") == "Always")
