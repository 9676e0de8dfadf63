"""What NetworkPolicies let through, as a network that enforces them would: for ingress, from pods and addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Object = Mapping[str, Any]
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Peer:
    """A pod, by its labels and its namespace's, or somebody outside of the cluster, by an address."""

    labels: Labels = field(default_factory=dict)
    namespace: str = "apps"
    namespace_labels: Labels = field(default_factory=dict)
    address: str | None = None


def may_reach(policies: Sequence[Object], pod: Labels, port: int, source: Peer, namespace: str = "apps") -> bool:
    """Tell whether `source` may open a TCP connection to a port of a pod with these labels."""
    selecting = [
        policy["spec"]
        for policy in policies
        if policy["metadata"].get("namespace", namespace) == namespace
        and "Ingress" in policy["spec"].get("policyTypes", ["Ingress"])
        and selects(policy["spec"]["podSelector"], pod)
    ]
    # A pod that no policy selects is open; policies add up.
    return not selecting or any(
        _opens(rule, port, source, namespace) for spec in selecting for rule in spec.get("ingress") or ()
    )


def selects(selector: Object, labels: Labels) -> bool:
    """Tell whether a selector of labels, without expressions, takes some; an empty one takes all."""
    assert set(selector) <= {"matchLabels"}
    return (selector.get("matchLabels") or {}).items() <= labels.items()


def _opens(rule: Object, port: int, source: Peer, namespace: str) -> bool:
    ports = rule.get("ports")
    if ports and not any(one.get("protocol", "TCP") == "TCP" and one.get("port", port) == port for one in ports):
        return False
    return not rule.get("from") or any(_takes(peer, source, namespace) for peer in rule["from"])


def _takes(peer: Object, source: Peer, namespace: str) -> bool:
    if block := peer.get("ipBlock"):
        return source.address is not None and ip_address(source.address) in ip_network(block["cidr"])
    if source.address is not None:
        return False
    where = (
        selects(peer["namespaceSelector"], source.namespace_labels)
        if "namespaceSelector" in peer
        else source.namespace == namespace
    )
    return where and selects(peer.get("podSelector", {}), source.labels)
