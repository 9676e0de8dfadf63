"""NetworkPolicies: the one that closes the way around the enforcer, and others that open it again.

They add up: what one lets in, no other keeps out. A network plugin that does not enforce them lets everything in, and
none of them keeps out what runs on the pod's node.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.pod.ports import Port, declared
from enforcer.kubernetes.inject.services import near
from enforcer.kubernetes.selectors import selects
from enforcer.kubernetes.sidecar import LABELS, Mode, Sidecar
from enforcer.kubernetes.workloads import Workload, containers
from enforcer.yamltext.objects import Object, identity, items, section


def is_network_policy(thing: Object) -> bool:
    """Tell whether an object is a NetworkPolicy."""
    return (thing.get("apiVersion"), thing.get("kind")) == ("networking.k8s.io/v1", "NetworkPolicy")


def protected(sidecar: Sidecar) -> int:
    """Return the port at which the protected app is asked for on the network."""
    return sidecar.listen_port if sidecar.mode is Mode.PORT else sidecar.app_port


def network_policy(thing: Object, workload: Workload, sidecar: Sidecar, monitoring: str, by: str) -> Object | None:
    """Write the policy of a workload's injected pods; None where there are no labels to select them by.

    Anybody may reach the protected port; only the namespace `monitoring` the admin port, and what is called metrics.
    Ports by their numbers: not every plugin finds a native sidecar's port by its name (projectcalico/calico#8881).
    """
    selector = _selector(thing, workload)
    if selector is None:
        return None
    watched = [sidecar.admin_port, *_metrics(workload)]
    namespace = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": monitoring}}}
    metadata: Object = {"name": f"{workload.name}-enforcer"}
    if workload.namespace is not None:
        metadata["namespace"] = workload.namespace
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {**metadata, "annotations": {names.INJECTED_BY: by}},
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [_port(protected(sidecar))]},
                {"from": [namespace], "ports": [_port(number) for number in watched]},
            ],
        },
    }


def _port(number: int) -> Object:
    return {"port": number, "protocol": "TCP"}


def _selector(thing: Object, workload: Workload) -> Object | None:
    """Select the workload's pods that are injected: those that are not yet must be reached as before."""
    whole = deepcopy(section(thing, "spec", "selector")) if workload.path else {}
    if workload.kind == "ReplicationController":
        whole = {"matchLabels": whole} if whole else {}
    if not whole.get("matchLabels") and not whole.get("matchExpressions"):
        whole = {"matchLabels": dict(workload.labels)} if workload.labels else {}
    if not whole:
        return None
    return {**whole, "matchLabels": {**section(whole, "matchLabels"), **LABELS}}


def _metrics(workload: Workload) -> list[int]:
    ports = (port for one in containers(workload.spec) for port in declared(one))
    return [port.number for port in ports if port.name is not None and "metrics" in port.name]


def reopens(policy: Object, workload: Workload, port: Port, injected: Mapping[str, Any]) -> bool:
    """Tell whether another policy lets clients reach the app's own port of the injected pods, with these labels."""
    spec = section(policy, "spec")
    types = spec.get("policyTypes") or ["Ingress"]
    if "Ingress" not in types or not near(identity(policy)[1], workload.namespace):
        return False
    if not selects(section(spec, "podSelector"), injected):
        return False
    return any(_covers(rule, port.number) for rule in items(spec, "ingress"))


def _covers(rule: Object, number: int) -> bool:
    ports = items(rule, "ports")
    return not ports or any(_includes(one, number) for one in ports)


def _includes(one: Object, number: int) -> bool:
    if one.get("protocol") not in (None, "TCP"):
        return False
    first, last = one.get("port"), one.get("endPort")
    if first is None:
        return True
    # A name leads to the enforcer, which has taken it over.
    return isinstance(first, int) and first <= number <= (last if isinstance(last, int) else first)
