"""NetworkPolicies: writes the one that closes the bypass around the enforcer, and finds others that open it again.

NetworkPolicies are additive: traffic that one allows, no other can block. A network plugin that does not enforce them
allows all traffic, and none of them blocks processes on the pod's own node.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Final

from enforcer.kubernetes.annotations import ours
from enforcer.kubernetes.inject.pod.pod_template import Injected
from enforcer.kubernetes.inject.pod.ports import declared
from enforcer.kubernetes.inject.services import may_share_namespace
from enforcer.kubernetes.selectors import selects
from enforcer.kubernetes.sidecar import LABELS, Mode, Sidecar
from enforcer.kubernetes.workloads import Workload, containers
from enforcer.yamltext.objects import Object, identity, items, section

_VERSION: Final = "networking.k8s.io/v1"


def is_network_policy(obj: Object) -> bool:
    return (obj.get("apiVersion"), obj.get("kind")) == (_VERSION, "NetworkPolicy")


def enforcer_port(sidecar: Sidecar) -> int:
    """Return the port at which clients reach the enforcer."""
    return sidecar.listen_port if sidecar.mode is Mode.PORT else sidecar.app_port


def network_policy(obj: Object, injected: Injected) -> Object | None:
    """Write the NetworkPolicy for an object's injected pods; None if no labels select them.

    Every client may reach the enforcer's port; only the monitoring namespace may reach the admin port, and ports with
    "metrics" in their name. Ports are numbers, because not every network plugin resolves the name of a native sidecar's
    port (projectcalico/calico#8881).
    """
    workload, sidecar = injected.plan.workload, injected.sidecar
    selector = _selector(obj, workload)
    if selector is None:
        return None
    monitored = [sidecar.admin_port, *_metrics(workload)]
    labels = {"kubernetes.io/metadata.name": injected.plan.settings.monitoring_namespace}
    namespace = {"namespaceSelector": {"matchLabels": labels}}
    ingress = [
        {"ports": [_port(enforcer_port(sidecar))]},
        {"from": [namespace], "ports": [_port(number) for number in monitored]},
    ]
    spec = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": ingress}
    name, by = f"{workload.name}-enforcer", injected.plan.context.by
    return ours("NetworkPolicy", _VERSION, name, workload.namespace, by, spec=spec)


def _port(number: int) -> Object:
    return {"port": number, "protocol": "TCP"}


def _selector(obj: Object, workload: Workload) -> Object | None:
    """Select the injected pods of the workload only: pods that are not injected yet must stay reachable."""
    selector = deepcopy(section(obj, "spec", "selector")) if workload.path else {}
    if workload.kind == "ReplicationController":
        selector = {"matchLabels": selector} if selector else {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        selector = {"matchLabels": dict(workload.labels)} if workload.labels else {}
    if not selector:
        return None
    return {**selector, "matchLabels": {**section(selector, "matchLabels"), **LABELS}}


def _metrics(workload: Workload) -> list[int]:
    ports = (port for container in containers(workload.spec) for port in declared(container))
    return [port.number for port in ports if port.name is not None and "metrics" in port.name]


def reopens(policy: Object, injected: Injected) -> bool:
    """Return whether another policy allows clients to reach the app's own port of the injected pods."""
    spec = section(policy, "spec")
    types = spec.get("policyTypes") or ["Ingress"]
    if "Ingress" not in types or not may_share_namespace(identity(policy)[1], injected.plan.workload.namespace):
        return False
    if not selects(section(spec, "podSelector"), section(injected.template, "metadata", "labels")):
        return False
    return any(_covers(rule, injected.plan.port.number) for rule in items(spec, "ingress"))


def _covers(rule: Object, number: int) -> bool:
    ports = items(rule, "ports")
    return not ports or any(_includes(entry, number) for entry in ports)


def _includes(entry: Object, number: int) -> bool:
    if entry.get("protocol") not in (None, "TCP"):
        return False
    first, last = entry.get("port"), entry.get("endPort")
    if first is None:
        return True
    # A name refers to the enforcer's port, which has taken it over.
    return isinstance(first, int) and first <= number <= (last if isinstance(last, int) else first)
