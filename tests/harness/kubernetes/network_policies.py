"""Evaluates NetworkPolicies as an enforcing network would: ingress to a pod, from other pods and from addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from enforcer.kubernetes.selectors import selects

Object = Mapping[str, Any]
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Peer:
    """A client: a pod with its own labels and those of its namespace, or an address outside of the cluster."""

    labels: Labels = field(default_factory=dict)
    namespace: str = "apps"
    namespace_labels: Labels = field(default_factory=dict)
    address: str | None = None


def client_in(namespace: str) -> Peer:
    """Return a pod without labels in a namespace that has the name label of Kubernetes."""
    return Peer(namespace=namespace, namespace_labels={"kubernetes.io/metadata.name": namespace})


def may_reach(
    policies: Sequence[Object], pod: Labels, port: int, source: Peer, namespace: str = "apps", protocol: str = "TCP"
) -> bool:
    """Return whether `source` may send to a port of a pod with these labels in `namespace`."""
    selecting = [
        policy["spec"]
        for policy in policies
        if policy["metadata"].get("namespace", namespace) == namespace
        and "Ingress" in (policy["spec"].get("policyTypes") or ["Ingress"])
        and selects(policy["spec"]["podSelector"] or {}, pod)
    ]
    # A pod that no policy selects accepts everything; several policies add up.
    return not selecting or any(
        _admits(rule or {}, port, source, namespace, protocol)
        for spec in selecting
        for rule in spec.get("ingress") or ()
    )


def _admits(rule: Object, port: int, source: Peer, namespace: str, protocol: str) -> bool:
    ports, peers = rule.get("ports"), rule.get("from")
    admits_port = not ports or any(_includes(entry, port, protocol) for entry in ports)
    return admits_port and (not peers or any(_matches(peer, source, namespace) for peer in peers))


def _includes(entry: Object, port: int, protocol: str) -> bool:
    first = entry.get("port")
    same = (entry.get("protocol") or "TCP") == protocol
    return same and (first is None or first <= port <= entry.get("endPort", first))


def _matches(peer: Object, source: Peer, namespace: str) -> bool:
    if block := peer.get("ipBlock"):
        return source.address is not None and ip_address(source.address) in ip_network(block["cidr"])
    if source.address is not None:
        return False
    selector = peer.get("namespaceSelector")
    same_namespace = source.namespace == namespace
    matches = same_namespace if selector is None else selects(selector, source.namespace_labels)
    return matches and selects(peer.get("podSelector", {}), source.labels)
