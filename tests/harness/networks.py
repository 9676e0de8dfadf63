"""Whether NetworkPolicies let a client reach a port of a pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enforcer.kubernetes.selectors import selects

Object = Mapping[str, Any]


def reaches(policies: Sequence[Object], pod: Mapping[str, str], port: int, namespace: str = "default") -> bool:
    """Tell whether a client in a namespace reaches a port of a pod with these labels, in a namespace of its own.

    All policies are of the pod's namespace. Without one that selects the pod, everybody does.
    """
    concerned = [
        one["spec"]
        for one in policies
        if selects(one["spec"]["podSelector"], pod) and "Ingress" in (one["spec"].get("policyTypes") or ["Ingress"])
    ]
    rules = [rule for spec in concerned for rule in spec.get("ingress") or ()]
    return not concerned or any(_lets(rule, port, namespace) for rule in rules)


def _lets(rule: Object, port: int, namespace: str) -> bool:
    ports, peers = rule.get("ports"), rule.get("from")
    reached = not ports or any(_is_port(one, port) for one in ports)
    return reached and (not peers or any(_is_peer(one, namespace) for one in peers))


def _is_port(one: Object, port: int) -> bool:
    first = one.get("port")
    return first is None or first <= port <= one.get("endPort", first)


def _is_peer(one: Object, namespace: str) -> bool:
    # The namespace of who is asked for is the pod's own, unless it is selected.
    selector = one.get("namespaceSelector")
    return selector is not None and selects(selector, {"kubernetes.io/metadata.name": namespace})
