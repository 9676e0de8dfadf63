"""A small cluster, in which clients connect to pods: what a verification is compared with.

Independent of the verification: sockets are bound in the order in which containers start, packets pass hostPorts,
NetworkPolicies and redirects, and arrive at a process. Facts that the objects leave open are parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from enforcer.kubernetes.selectors import selects
from harness.kubernetes.manifests import template
from harness.kubernetes.network_policies import Peer, client_in, may_reach
from harness.kubernetes.service_endpoints import resolved

Object = dict[str, Any]

CLIENTS = (
    client_in("apps"),
    client_in("monitoring"),
    client_in("default"),
    Peer(labels={"role": "friend"}),
    Peer(address="203.0.113.1"),
)
"""Clients of every kind that the drawn policies tell apart."""


@dataclass(frozen=True)
class World:
    """The facts that objects do not show."""

    policies_enforced: bool
    app_on_loopback: bool
    """True if the app of a classic sidecar leaves the pod's addresses to the enforcer."""


KIND = World(policies_enforced=True, app_on_loopback=True)
CRUEL = World(policies_enforced=False, app_on_loopback=False)


@dataclass(frozen=True)
class Process:
    """A running container: its sockets, and whether it is the enforcer."""

    name: str
    is_enforcer: bool
    sockets: tuple[tuple[str, int], ...]


UNKNOWN = Process("unknown", False, ())
"""A process that no container declares."""


def _processes(spec: Object, image: str, world: World) -> Iterator[Process]:
    """Yield the processes of a pod in the order in which they bind their sockets."""
    containers = [_process(entry, image) for entry in spec["containers"]]
    # An init container that ends leaves its sockets free, but clients may have reached it before.
    yield from (_process(entry, image) for entry in spec.get("initContainers") or ())
    # Containers that start together bind in any order.
    yield from sorted(containers, key=lambda process: process.is_enforcer is not world.app_on_loopback)


def _process(container: Object, image: str) -> Process:
    arguments = [*(container.get("command") or ()), *(container.get("args") or ())]
    if container.get("image") == image and arguments[:2] == ["enforcer", "run"]:
        settings = dict(argument.removeprefix("--set=").split("=", 1) for argument in arguments[3:])
        addresses = [settings["listener.address"], settings["admin.address"]]
        return Process(container["name"], True, tuple(("TCP", int(each.rpartition(":")[2])) for each in addresses))
    ports = container.get("ports") or ()
    return Process(
        container["name"], False, tuple((port.get("protocol", "TCP"), port["containerPort"]) for port in ports)
    )


def _labels(workload: Object) -> list[dict[str, str]]:
    """Return the labels of the pods that the workload's controller creates."""
    labels, name = template(workload).get("metadata", {}).get("labels") or {}, workload["metadata"]["name"]
    match workload["kind"]:
        case "Deployment":
            return [{**labels, "pod-template-hash": "5d8"}]
        case "Job":
            return [{**labels, "batch.kubernetes.io/job-name": name, "job-name": name}]
        case "StatefulSet":
            return [
                {
                    **labels,
                    "statefulset.kubernetes.io/pod-name": f"{name}-{index}",
                    "apps.kubernetes.io/pod-index": f"{index}",
                }
                for index in range(2)
            ]
    return [labels]


def reached(workload: Object, objects: Sequence[Object], image: str, world: World) -> set[tuple[str, int]]:
    """Return the ports of an app, at its pods' addresses, that any client reaches without passing the enforcer.

    A port that any of the objects mentions, and on which no container is known to listen, may be the app's.
    """
    near = [thing for thing in objects if thing["metadata"].get("namespace", "apps") == "apps"]
    services = [thing for thing in near if thing["kind"] == "Service" and thing["spec"].get("type") != "ExternalName"]
    policies = [thing for thing in near if thing["kind"] == "NetworkPolicy"]
    result = set()
    for labels in _labels(workload):
        selecting = [each for each in services if _selects(each["spec"].get("selector"), labels)]
        result |= _reached(template(workload), labels, selecting, policies, image, world)
    return result


def _selects(selector: dict[str, str] | None, labels: dict[str, str]) -> bool:
    return bool(selector) and (selector or {}).items() <= labels.items()


def _reached(
    pod: Object,
    labels: dict[str, str],
    services: Sequence[Object],
    policies: Sequence[Object],
    image: str,
    world: World,
) -> set[tuple[str, int]]:
    spec, namespace = pod["spec"], "apps"
    annotations = pod.get("metadata", {}).get("annotations") or {}
    sockets: dict[tuple[str, int], Process] = {}
    for process in _processes(spec, image, world):
        for socket in process.sockets:
            sockets.setdefault(socket, process)
    for port in (port for service in services for port in service["spec"].get("ports", ())):
        for version in ((1, 31), (1, 32)):
            if (number := resolved(spec, port, version)) is not None:
                sockets.setdefault((port.get("protocol", "TCP"), number), UNKNOWN)
    for socket in _mentioned(pod, policies, labels):
        sockets.setdefault(socket, UNKNOWN)
    if spec.get("hostNetwork"):
        # The node's other processes reach 127.0.0.1, too.
        own = {
            socket for process in _processes(spec, image, world) if process.is_enforcer for socket in process.sockets
        }
        apps = {socket for each in _processes(spec, image, world) if not each.is_enforcer for socket in each.sockets}
        return apps | (sockets.keys() - own)
    result = set()
    for protocol, number in sockets:
        # Neither the ports of nodes nor secondary networks pass the policies of the cluster's network.
        around = number in _host_ports(spec, protocol) or "k8s.v1.cni.cncf.io/networks" in annotations
        admitted = any(may_reach(policies, labels, number, client, namespace, protocol=protocol) for client in CLIENTS)
        if not (around or admitted or not world.policies_enforced):
            continue
        arrival = protocol, _redirects(spec, image).get(number, number) if protocol == "TCP" else number
        if not sockets.get(arrival, UNKNOWN).is_enforcer:
            result.add((protocol, number))
    return result


def _mentioned(pod: Object, policies: Sequence[Object], labels: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Yield the ports that probes, hooks, annotations, and policies for these pods mention."""
    for container in pod["spec"]["containers"]:
        hooks = (container.get("lifecycle") or {}).values()
        probes = [container.get(f"{kind}Probe") or {} for kind in ("liveness", "readiness", "startup")]
        for action in (action for handler in (*hooks, *probes) for action in handler.values()):
            if isinstance(action, dict) and isinstance(action.get("port"), int) and "host" not in action:
                yield "TCP", action["port"]
    if "prometheus.io/port" in (annotations := pod.get("metadata", {}).get("annotations") or {}):
        yield "TCP", int(annotations["prometheus.io/port"])
    for spec in (policy["spec"] for policy in policies):
        if spec["podSelector"] and selects(spec["podSelector"], labels):
            ports = [port for rule in spec.get("ingress") or () if rule for port in rule.get("ports") or ()]
            single = [each for each in ports if isinstance(each.get("port"), int) and "endPort" not in each]
            yield from ((each.get("protocol", "TCP"), each["port"]) for each in single)


def _host_ports(spec: Object, protocol: str) -> set[int]:
    ports = [port for container in spec["containers"] for port in container.get("ports") or ()]
    return {port["containerPort"] for port in ports if port.get("hostPort") and port.get("protocol", "TCP") == protocol}


def _redirects(spec: Object, image: str) -> dict[int, int]:
    runs = [entry for entry in spec.get("initContainers") or () if entry.get("image") == image]
    words = [[*(entry.get("command") or ()), *(entry.get("args") or ())] for entry in runs]
    return {int(each[2]): int(each[3]) for each in words if each[:2] == ["enforcer", "redirect"]}
