"""The objects of a verification: which of them count, and which are in the namespace of a workload."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from enforcer.kubernetes.pod_templates import contained, find_workloads
from enforcer.kubernetes.selectors import may_select
from enforcer.kubernetes.verify import network_policies, services
from enforcer.kubernetes.verify.endpoints import EndpointIndex, is_endpoints
from enforcer.kubernetes.verify.enforcers import Enforcer, find_enforcers, is_native
from enforcer.kubernetes.verify.services import Version
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity, items, section

ByNamespace = dict[str | None, list[Object]]
"""Objects by namespace; None if they name none, and it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """The assumptions of a verification."""

    images: frozenset[str] = frozenset()
    """Repositories of images that are the enforcer's, besides those whose name is the enforcer's own."""
    oldest: Version = (1, 29)
    """The oldest version of Kubernetes that the objects are for."""
    namespace: str | None = None
    """The namespace of objects that name none; None if it is not known."""
    enforced: bool = True
    """True if the network may enforce NetworkPolicies."""
    accepted: frozenset[str] = frozenset()
    """Names and numbers of ports, with `/udp` for UDP, that may be open, other than the protected ones."""


class ObjectSet:
    """The objects that take part in a verification. Of two with one identity the last one counts, as with kubectl."""

    def __init__(self, objects: Sequence[Object], assumptions: Assumptions) -> None:
        self.assumptions = assumptions
        placed = [(index, member) for index, obj in enumerate(objects) for member in contained(obj)]
        self.workloads = [
            (index, workload) for index, obj in placed if not _is_retired(obj) for workload in find_workloads(obj)
        ]
        last = list({self._key(obj, index): obj for index, (_, obj) in enumerate(placed)}.values())
        network = last if assumptions.enforced else []
        self.services = self._grouped(obj for obj in last if services.is_service(obj))
        self.policies = self._grouped(obj for obj in network if network_policies.is_network_policy(obj))
        self.foreign = _grouped((identity(obj)[1], obj) for obj in network if network_policies.is_foreign(obj))
        """The policies of other APIs; some kinds of them have no namespace, and count in each."""
        self.endpoints = EndpointIndex(self._grouped(obj for obj in last if is_endpoints(obj)), self.services)
        self._configs = self._grouped(obj for obj in last if obj.get("kind") == "ConfigMap")
        self._namespaces = {identity(obj)[0]: obj for obj in last if obj.get("kind") == "Namespace"}

    @property
    def no_policy(self) -> str:
        """The reason why no NetworkPolicy protects some pods, for people."""
        if not self.assumptions.enforced:
            return "NetworkPolicies are not enforced"
        return "no NetworkPolicy selects the pods" if self.policies else "no NetworkPolicy is known"

    def _grouped(self, objects: Iterable[Object]) -> ByNamespace:
        return _grouped((self.namespace(identity(obj)[1]), obj) for obj in objects)

    def _key(self, obj: Object, index: int) -> tuple[object, ...]:
        """Return the identity of an object; each one with a generated name is another."""
        name, namespace = identity(obj)
        group = str(obj.get("apiVersion")).rpartition("/")[0]
        generated = None if "name" in section(obj, "metadata") else index
        return group, str(obj.get("kind")), name, self.namespace(namespace), generated

    def enforcers(self, workload: Workload) -> list[Enforcer]:
        """Return the enforcers in the pods of a workload."""
        configs = {identity(obj)[0]: obj for obj in self.near(self._configs, workload)}
        return list(find_enforcers(workload.spec, configs, self.assumptions.images))

    def near(self, objects: ByNamespace, workload: Workload) -> list[Object]:
        """Return the objects that are in the namespace of a workload, or may be."""
        space = self.namespace(workload.namespace)
        if space is None:
            return [obj for group in objects.values() for obj in group]
        return [*objects.get(space, ()), *objects.get(None, ())]

    def surely_limits(self, policy: Object, workload: Workload) -> bool:
        """Return whether a NetworkPolicy limits the connections to the pods of a workload for certain."""
        if not _HOOKS.isdisjoint(section(policy, "metadata", "annotations")):
            return False
        shares = self.namespace(identity(policy)[1]) == self.namespace(workload.namespace)
        return shares and network_policies.surely_limits(policy, workload)

    def namespace_of(self, workload: Workload) -> Object:
        """Return the Namespace of a workload; empty if it is not among the objects."""
        return self._namespaces.get(self.namespace(workload.namespace) or "", {})

    def namespace(self, name: str | None) -> str | None:
        return name or self.assumptions.namespace

    @cached_property
    def gateways(self) -> list[Workload]:
        """The workloads whose pods are enforcers only: what reaches an app from there has passed one."""
        return [workload for _, workload in self.workloads if self._is_gateway(workload)]

    def _is_gateway(self, workload: Workload) -> bool:
        enforcers = self.enforcers(workload)
        ours = {enforcer.container for enforcer in enforcers if not enforcer.reporting}
        spec = workload.spec
        natives = filter(is_native, items(spec, "initContainers"))
        running = [*items(spec, "containers"), *natives, *items(spec, "ephemeralContainers")]
        return bool(ours) and all(str(container.get("name")) in ours for container in running)

    def gateways_of(self, peer: Object, workload: Workload) -> list[Workload]:
        """Return the gateways that a peer admits; an empty list if it admits pods that are not one's."""
        pods = section(peer, "podSelector")
        # A selector that only excludes labels matches pods that are not among the objects.
        included = [entry for entry in items(pods, "matchExpressions") if entry.get("operator") in ("In", "Exists")]
        if "ipBlock" in peer or not (pods.get("matchLabels") or included):
            return []
        chosen = [other for _, other in self.workloads if self._is_chosen(other, pods, peer, workload)]
        return chosen if all(other in self.gateways for other in chosen) else []

    def _is_chosen(self, other: Workload, pods: Object, peer: Object, workload: Workload) -> bool:
        if not may_select(pods, other.labels, other.added_labels):
            return False
        space, own = self.namespace(other.namespace), self.namespace(workload.namespace)
        if "namespaceSelector" not in peer:
            return space == own or space is None or own is None
        if space is None:
            return True
        selector, namespace = section(peer, "namespaceSelector"), self._namespaces.get(space)
        labels = {**section(namespace or {}, "metadata", "labels"), "kubernetes.io/metadata.name": space}
        expressions = (str(entry.get("key")) for entry in items(selector, "matchExpressions"))
        unknown = {*section(selector, "matchLabels"), *expressions} if namespace is None else set()
        return may_select(selector, labels, unknown)


_HOOKS: Final = frozenset({"helm.sh/hook", "argocd.argoproj.io/hook", "config.kubernetes.io/local-config"})
"""Annotations of objects that exist for a time only, or not at all."""


def _grouped(objects: Iterable[tuple[str | None, Object]]) -> ByNamespace:
    grouped: ByNamespace = {}
    for namespace, obj in objects:
        grouped.setdefault(namespace, []).append(obj)
    return grouped


def _is_retired(obj: Object) -> bool:
    """Return whether an object is a former revision that a controller keeps without pods."""
    if obj.get("kind") not in ("ReplicaSet", "ReplicationController"):
        return False
    owners = items(section(obj, "metadata"), "ownerReferences")
    return section(obj, "spec").get("replicas") == 0 and any(owner.get("controller") for owner in owners)
