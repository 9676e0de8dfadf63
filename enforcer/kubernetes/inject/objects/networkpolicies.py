"""The NetworkPolicy that closes the bypass around the enforcer.

NetworkPolicies are additive: traffic that one allows, no other can block. A network plugin that does not enforce them
allows all traffic, and none of them blocks processes on the pod's own node.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Final

from enforcer.kubernetes.annotations import is_ours, ours
from enforcer.kubernetes.inject.objects.services import may_share_namespace
from enforcer.kubernetes.inject.pod.pod_template import Injected
from enforcer.kubernetes.inject.pod.ports import declared
from enforcer.kubernetes.sidecar import LABELS, Mode, Sidecar
from enforcer.kubernetes.verify.network_policies import admitted, is_network_policy, may_limit
from enforcer.kubernetes.verify.services import Endpoint
from enforcer.kubernetes.workloads import Workload, containers
from enforcer.yamltext.objects import Object, identity, section

_VERSION: Final = "networking.k8s.io/v1"


def enforcer_port(sidecar: Sidecar) -> int:
    """Return the port at which clients reach the enforcer."""
    return sidecar.listen_port if sidecar.mode is Mode.PORT else sidecar.app_port


def network_policy(obj: Object, injected: Injected, name: str, others: Sequence[Object] = ()) -> Object | None:
    """Write the NetworkPolicy for an object's injected pods, under this name; None if no labels select them.

    `others` are objects around it. NetworkPolicies among them that limit the clients of the pods keep their effect: the
    enforcer's port is open to the clients that they admit to the app's, and nothing is opened beside it.

    Every client may reach the enforcer's port, and ports with another protocol than HTTP/1.1, gRPC included: closing
    them would break the app. Only the monitoring namespace may reach the admin port, and ports with
    "metrics" in their name, except the protected one. Ports are numbers, because not every network plugin resolves the
    name of a native sidecar's port (projectcalico/calico#8881).
    """
    workload, sidecar = injected.plan.workload, injected.sidecar
    selector = _selector(obj, workload)
    if selector is None:
        return None
    limiting = [policy for policy in others if _limits(policy, workload)]
    monitored = [sidecar.admin_port, *([] if limiting else _metrics(workload, injected.plan.port.number))]
    labels = {"kubernetes.io/metadata.name": injected.plan.settings.monitoring_namespace}
    namespace = {"namespaceSelector": {"matchLabels": labels}}
    ingress = [*_clients(injected, limiting), {"from": [namespace], "ports": [_port(number) for number in monitored]}]
    spec = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": ingress}
    return ours("NetworkPolicy", _VERSION, name, workload.namespace, injected.plan.context.by, spec=spec)


def policy_names(workload: Workload) -> Sequence[str]:
    """Return the possible names of a workload's NetworkPolicy, the first choice first.

    Only Deployments have a short name: workloads of one name and different kinds, which may be in files that are
    injected one by one, must not replace each other's policy.
    """
    longer = f"{workload.name}-{workload.kind.lower()}-enforcer"
    return (short_policy_name(workload), longer) if workload.kind == "Deployment" else (longer,)


def short_policy_name(workload: Workload) -> str:
    """Return the name without the workload's kind."""
    return f"{workload.name}-enforcer"


def _limits(policy: Object, workload: Workload) -> bool:
    """Return whether somebody else's NetworkPolicy limits the clients of the pods."""
    if not is_network_policy(policy) or is_ours(policy):
        return False
    near = may_share_namespace(identity(policy)[1], workload.namespace)
    metadata = {**section(workload.template, "metadata"), "labels": {**workload.labels, **LABELS}}
    return near and may_limit(policy, replace(workload, template={**workload.template, "metadata": metadata}))


def _clients(injected: Injected, limiting: Sequence[Object]) -> list[Object]:
    """Return the rules for clients: those that the limiting policies admit to the app's port, or all."""
    port = _port(enforcer_port(injected.sidecar))
    if not limiting:
        return [{"ports": [port, *map(_port, _other_protocols(injected))]}]
    plan = injected.plan
    peers = [each.peer for each in admitted(limiting, plan.workload.spec, Endpoint("TCP", plan.port.number))]
    if None in peers:
        return [{"ports": [port]}]
    return [{"from": [deepcopy(peer) for peer in peers], "ports": [port]}] if peers else []


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


def _other_protocols(injected: Injected) -> list[int]:
    others = injected.plan.others
    return list(dict.fromkeys(port.number for port, finding in others if not finding.speaks_http1))


def _metrics(workload: Workload, protected: int) -> list[int]:
    ports = (port for container in containers(workload.spec) for port in declared(container))
    return [port.number for port in ports if port.number != protected and "metrics" in (port.name or "")]
