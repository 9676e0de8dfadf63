"""Evaluates NetworkPolicies: which clients the network lets through to a port of a pod, if it enforces them.

Policies add up: a client that one of them admits, no other can refuse. A pod that none selects admits everybody. None
of them keeps out the pod's own node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from enforcer.kubernetes.selectors import may_select, selects
from enforcer.kubernetes.verify.services import Endpoint, port_number, protocol_of
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity, items, section

_GROUP: Final = "networking.k8s.io/"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Clients that a policy admits; `peer` is None for everybody."""

    policy: str
    peer: Object | None

    def __str__(self) -> str:
        clients = "every client" if self.peer is None else describe(self.peer)
        return f"networkpolicy/{self.policy} admits {clients}"


def is_network_policy(obj: Object) -> bool:
    return obj.get("kind") == "NetworkPolicy" and str(obj.get("apiVersion")).startswith(_GROUP)


def is_foreign(obj: Object) -> bool:
    """Return whether an object is a policy of another API, which is not evaluated: it may admit more clients."""
    return "NetworkPolicy" in str(obj.get("kind")) and not is_network_policy(obj)


def may_limit(policy: Object, workload: Workload) -> bool:
    """Return whether a policy limits the connections to pods of a workload, or may, whatever its namespace."""
    selector = section(policy, "spec", "podSelector")
    return _is_for_ingress(policy) and may_select(selector, workload.labels, workload.added_labels)


def surely_limits(policy: Object, workload: Workload) -> bool:
    """Return whether a policy limits the connections to all pods of a workload, if it is in their namespace."""
    selector = section(policy, "spec", "podSelector")
    return _is_for_ingress(policy) and selects(selector, workload.labels, workload.added_labels)


def _is_for_ingress(policy: Object) -> bool:
    types = section(policy, "spec").get("policyTypes") or ["Ingress"]
    return isinstance(types, list) and "Ingress" in types


def _rules(policy: Object) -> list[Object]:
    """Return the ingress rules of a policy; null stands for an empty one, which admits everybody."""
    return _entries(section(policy, "spec"), "ingress")


def _entries(value: Object, key: str) -> list[Object]:
    """Return the members of a list; null among them stands for an empty one, as for the API server."""
    members = value.get(key)
    return [member if isinstance(member, dict) else {} for member in members] if isinstance(members, list) else []


def mentioned(policies: Iterable[Object], workload: Workload) -> Iterator[Endpoint]:
    """Yield the ports of a workload's pods that policies mention one by one, and which therefore have clients.

    A policy for every pod of a namespace says nothing of a single one. A rule for ingress says something also in a
    policy that does not limit ingress.
    """
    for policy in policies:
        selector = section(policy, "spec", "podSelector")
        if not selector or not may_select(selector, workload.labels, workload.added_labels):
            continue
        for entry in (entry for rule in _rules(policy) for entry in _entries(rule, "ports") if "endPort" not in entry):
            number = port_number(entry.get("port"))
            if number is not None:
                yield Endpoint(protocol_of(entry), number)


def admitted(policies: Iterable[Object], spec: Object, endpoint: Endpoint) -> Iterator[Admitted]:
    """Yield the clients that policies admit to a port of a pod; the policies select the pod."""
    for policy in policies:
        name = identity(policy)[0]
        for rule in _rules(policy):
            ports = _entries(rule, "ports")
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
    number = int(first) if isinstance(first, str) else port_number(first)
    return number is None or number <= endpoint.number <= (port_number(last) or number)


def _names(spec: Object, endpoint: Endpoint) -> Iterator[Any]:
    for container in (*items(spec, "containers"), *items(spec, "initContainers")):
        for port in items(container, "ports"):
            if (port_number(port.get("containerPort")), protocol_of(port)) == (endpoint.number, endpoint.protocol):
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
