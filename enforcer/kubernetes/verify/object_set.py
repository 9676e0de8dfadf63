"""The objects of a verification: which of them count, and which are in the namespace of a workload."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from enforcer.kubernetes.pod_templates import contained, find_workloads
from enforcer.kubernetes.selectors import selects
from enforcer.kubernetes.verify import network_policies, services
from enforcer.kubernetes.verify.enforcers import Enforcer, find_enforcers
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
        last = list({_key(obj): obj for _, obj in placed}.values())
        network = last if assumptions.enforced else []
        self.services = self._grouped(obj for obj in last if services.is_service(obj))
        self.policies = self._grouped(obj for obj in network if network_policies.is_network_policy(obj))
        self.foreign = self._grouped(obj for obj in network if network_policies.is_foreign(obj))
        self._configs = self._grouped(obj for obj in last if obj.get("kind") == "ConfigMap")
        self._namespaces = {identity(obj)[0]: obj for obj in last if obj.get("kind") == "Namespace"}

    @property
    def no_policy(self) -> str:
        """The reason why no NetworkPolicy protects some pods, for people."""
        if not self.assumptions.enforced:
            return "NetworkPolicies are not enforced"
        return "no NetworkPolicy selects the pods" if self.policies else "no NetworkPolicy is known"

    def _grouped(self, objects: Iterable[Object]) -> ByNamespace:
        grouped: ByNamespace = {}
        for obj in objects:
            grouped.setdefault(self.namespace(identity(obj)[1]), []).append(obj)
        return grouped

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

    def surely_shares(self, obj: Object, workload: Workload) -> bool:
        """Return whether an object is in the namespace of a workload for certain."""
        return self.namespace(identity(obj)[1]) == self.namespace(workload.namespace)

    def namespace(self, name: str | None) -> str | None:
        return name or self.assumptions.namespace

    @cached_property
    def gateways(self) -> list[Workload]:
        """The workloads whose pods are enforcers only: what reaches an app from there has passed one."""
        return [workload for _, workload in self.workloads if self._is_gateway(workload)]

    def _is_gateway(self, workload: Workload) -> bool:
        enforcers = self.enforcers(workload)
        ours = {enforcer.container for enforcer in enforcers if not enforcer.reporting}
        return bool(ours) and all(
            str(container.get("name")) in ours for container in items(workload.spec, "containers")
        )

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
        if not selects(pods, other.labels):
            return False
        space, own = self.namespace(other.namespace), self.namespace(workload.namespace)
        if "namespaceSelector" not in peer:
            return space == own or space is None or own is None
        if space is None:
            return True
        labels = section(self._namespaces.get(space, {}), "metadata", "labels")
        return selects(section(peer, "namespaceSelector"), {**labels, "kubernetes.io/metadata.name": space})


def _is_retired(obj: Object) -> bool:
    """Return whether an object is a former revision that a controller keeps without pods."""
    owners = items(section(obj, "metadata"), "ownerReferences")
    return section(obj, "spec").get("replicas") == 0 and any(owner.get("controller") for owner in owners)


def _key(obj: Object) -> tuple[str, str, str, str | None]:
    return str(obj.get("apiVersion")).rpartition("/")[0], str(obj.get("kind")), *identity(obj)
