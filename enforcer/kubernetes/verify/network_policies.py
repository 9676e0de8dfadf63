"""Evaluates NetworkPolicies: which clients the network lets through to a port of a pod, if it enforces them.

Policies add up: a client that one of them admits, no other can refuse. A pod that none selects admits everybody. None
of them keeps out the pod's own node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from enforcer.kubernetes.selectors import Labels, selects
from enforcer.kubernetes.verify.services import Endpoint, protocol_of
from enforcer.yamltext.objects import Object, identity, items, section

_GROUP: Final = "networking.k8s.io/"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Clients that a policy admits; `peer` is None for everybody."""

    policy: str
    peer: Object | None

    def __str__(self) -> str:
        who = "every client" if self.peer is None else describe(self.peer)
        return f"networkpolicy/{self.policy} admits {who}"


def is_network_policy(obj: Object) -> bool:
    return obj.get("kind") == "NetworkPolicy" and str(obj.get("apiVersion")).startswith(_GROUP)


def is_foreign(obj: Object) -> bool:
    """Return whether an object is a policy of another API, which is not evaluated: it may admit more clients."""
    return "NetworkPolicy" in str(obj.get("kind")) and not is_network_policy(obj)


def limits_ingress(policy: Object, labels: Labels) -> bool:
    """Return whether a policy selects pods with these labels, and limits the connections to them."""
    spec = section(policy, "spec")
    types = spec.get("policyTypes") or ["Ingress"]
    return isinstance(types, list) and "Ingress" in types and selects(section(spec, "podSelector"), labels)


def admitted(policies: Iterable[Object], spec: Object, endpoint: Endpoint) -> Iterator[Admitted]:
    """Yield the clients that policies admit to a port of a pod; the policies select the pod."""
    for policy in policies:
        name = identity(policy)[0]
        for rule in items(section(policy, "spec"), "ingress"):
            ports = items(rule, "ports")
            if ports and not any(_includes(entry, spec, endpoint) for entry in ports):
                continue
            peers: Sequence[Object | None] = items(rule, "from") or [None]
            yield from (Admitted(name, peer) for peer in peers)


def _includes(entry: Object, spec: Object, endpoint: Endpoint) -> bool:
    if protocol_of(entry) != endpoint.protocol:
        return False
    first, last = entry.get("port"), entry.get("endPort")
    if isinstance(first, str) and not first.isdecimal():
        return first in _names(spec, endpoint)
    # A port that is not readable may be any.
    number = int(first) if isinstance(first, str | int) else None
    return number is None or number <= endpoint.number <= (last if isinstance(last, int) else number)


def _names(spec: Object, endpoint: Endpoint) -> Iterator[Any]:
    for container in (*items(spec, "containers"), *items(spec, "initContainers")):
        for port in items(container, "ports"):
            if (port.get("containerPort"), protocol_of(port)) == (endpoint.number, endpoint.protocol):
                yield port.get("name")


def describe(peer: Object) -> str:
    """Describe the clients of a peer."""
    if "ipBlock" in peer:
        return str(section(peer, "ipBlock").get("cidr"))
    pods = _selector(section(peer, "podSelector"))
    if "namespaceSelector" not in peer:
        return f"pods with {pods}" if pods else "every pod of the namespace"
    spaces = _selector(section(peer, "namespaceSelector"))
    within = f"namespaces with {spaces}" if spaces else "every namespace"
    return f"pods with {pods} in {within}" if pods else within


def _selector(selector: Object) -> str:
    labels = [f"{name}={value}" for name, value in section(selector, "matchLabels").items()]
    return ", ".join((*labels, *map(_expression, items(selector, "matchExpressions"))))


def _expression(entry: Object) -> str:
    values = entry.get("values")
    members = ",".join(map(str, values)) if isinstance(values, list) else ""
    return f"{entry.get('key')} {entry.get('operator')} {members}".rstrip()
