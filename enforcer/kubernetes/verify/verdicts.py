"""The verdict on each workload: whether clients can reach a port of its pods without passing the enforcer.

1. Every port counts on which anything in the objects suggests that an app listens, of every protocol.
2. A doubt is an opening: in a namespace that is not given, a Service may select the pods, and a NetworkPolicy may not.
3. Only the kernel and the network close a port. That a Service leads elsewhere closes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from enforcer.kubernetes import names
from enforcer.kubernetes.pod_templates import contained, find_workloads
from enforcer.kubernetes.selectors import selects
from enforcer.kubernetes.verify import network_policies, services
from enforcer.kubernetes.verify.enforcers import Enforcer, find_enforcers
from enforcer.kubernetes.verify.pods import AppPort, app_ports, own_endpoints
from enforcer.kubernetes.verify.services import Endpoint, Route, Version
from enforcer.kubernetes.workloads import Workload
from enforcer.yamltext.objects import Object, identity, items, section


class Verdict(StrEnum):
    """The verdict on a workload."""

    PROTECTED = "protected"
    """No client reaches the app without passing the enforcer."""
    CONDITIONAL = "conditional"
    """So, if the conditions hold, which the objects cannot show: that the network enforces policies, for example."""
    OPEN = "open"
    """Clients can reach the app without passing the enforcer."""
    PORTLESS = "portless"
    """Nothing suggests that its pods listen on any port."""
    EXCLUDED = "excluded"
    """Its pods are labelled as not to be protected."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A way to an app that does not pass the enforcer, for people; `port` is None if it concerns all of them."""

    port: AppPort | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The verdict on one workload, and the reasons for it."""

    index: int
    """Index of the object among all objects."""
    workload: str
    """The workload's `kind/name`."""
    namespace: str | None
    verdict: Verdict
    protected: frozenset[int] = frozenset()
    """The ports that the enforcer in its pods forwards to."""
    openings: tuple[Opening, ...] = ()
    conditions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_protected(self) -> bool:
        """Whether no client reaches the app without passing the enforcer, provided that the conditions hold."""
        return self.verdict in (Verdict.PROTECTED, Verdict.CONDITIONAL)


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


def verify(objects: Sequence[Object], assumptions: Assumptions | None = None) -> list[Finding]:
    """Return the verdict on every workload, in the order of the objects."""
    cluster = _Objects(objects, assumptions or Assumptions())
    return [_Verification(cluster, index, workload).finding() for index, workload in cluster.workloads]


_DISABLED: Final = "disabled"


def _is_retired(obj: Object) -> bool:
    """Return whether an object is a former revision that a controller keeps without pods."""
    owners = items(section(obj, "metadata"), "ownerReferences")
    return section(obj, "spec").get("replicas") == 0 and any(owner.get("controller") for owner in owners)


def _key(obj: Object) -> tuple[str, str, str, str | None]:
    return str(obj.get("apiVersion")).rpartition("/")[0], str(obj.get("kind")), *identity(obj)


class _Objects:
    """The objects that take part in a verification. Of two with one identity the last one counts, as with kubectl."""

    def __init__(self, objects: Sequence[Object], assumptions: Assumptions) -> None:
        self.assumptions = assumptions
        placed = [(index, member) for index, obj in enumerate(objects) for member in contained(obj)]
        self.workloads = [
            (index, workload) for index, obj in placed if not _is_retired(obj) for workload in find_workloads(obj)
        ]
        last = list({_key(obj): obj for _, obj in placed}.values())
        self.services = [obj for obj in last if services.is_service(obj)]
        self.policies = [obj for obj in last if network_policies.is_network_policy(obj) and assumptions.enforced]
        self.foreign = [obj for obj in last if network_policies.is_foreign(obj) and assumptions.enforced]
        self._configs = [obj for obj in last if obj.get("kind") == "ConfigMap"]
        self._namespaces = {identity(obj)[0]: obj for obj in last if obj.get("kind") == "Namespace"}

    def enforcers(self, workload: Workload) -> list[Enforcer]:
        """Return the enforcers in the pods of a workload."""
        configs = {identity(obj)[0]: obj for obj in self.near(self._configs, workload)}
        return list(find_enforcers(workload.spec, configs, self.assumptions.images))

    def near(self, objects: Sequence[Object], workload: Workload) -> list[Object]:
        """Return the objects that are in the namespace of a workload, or may be."""
        return [obj for obj in objects if self.shares(obj, workload) is not False]

    def shares(self, obj: Object, workload: Workload) -> bool | None:
        """Return whether an object is in the namespace of a workload; None if it may be."""
        ours, theirs = self.namespace(workload.namespace), self.namespace(identity(obj)[1])
        return True if ours == theirs else None if ours is None or theirs is None else False

    def namespace(self, name: str | None) -> str | None:
        return name or self.assumptions.namespace

    @cached_property
    def gateways(self) -> list[Workload]:
        """The workloads whose pods are enforcers only: what reaches an app from there has passed one."""
        return [
            workload
            for _, workload in self.workloads
            if (ours := {enforcer.container for enforcer in self.enforcers(workload)})
            and all(str(container.get("name")) in ours for container in items(workload.spec, "containers"))
        ]

    def admits_gateways_only(self, peer: Object, workload: Workload) -> list[Workload]:
        """Return the gateways that a peer admits; an empty list if it admits pods that are not one's."""
        pods = section(peer, "podSelector")
        if "ipBlock" in peer or not (pods.get("matchLabels") or pods.get("matchExpressions")):
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


class _Verification:
    """The verification of one workload."""

    def __init__(self, objects: _Objects, index: int, workload: Workload) -> None:
        self._objects = objects
        self._index = index
        self._workload = workload
        self._spec = workload.spec
        self._enforcers = objects.enforcers(workload)
        self._conditions: list[str] = []
        self._notes: list[str] = []

    def finding(self) -> Finding:
        """Return the finding."""
        openings = [*self._faults(), *self._open_ports()]
        self._describe_enforcers()
        if openings:
            verdict = Verdict.OPEN
        elif self._conditions:
            verdict = Verdict.CONDITIONAL
        else:
            verdict = Verdict.PROTECTED if self._enforcers else Verdict.PORTLESS
        if not self._enforcers and self._workload.labels.get(names.INJECT) == _DISABLED:
            verdict = Verdict.EXCLUDED
        return Finding(
            index=self._index,
            workload=f"{self._workload.kind.lower()}/{self._workload.name or '-'}",
            namespace=self._objects.namespace(self._workload.namespace),
            verdict=verdict,
            protected=self._protected,
            openings=tuple(openings),
            conditions=tuple(dict.fromkeys(self._conditions)),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    @cached_property
    def _protected(self) -> frozenset[int]:
        return frozenset(port for enforcer in self._enforcers for port in enforcer.upstreams)

    @cached_property
    def _ours(self) -> frozenset[Endpoint]:
        return frozenset(endpoint for enforcer in self._enforcers for endpoint in own_endpoints(enforcer))

    @cached_property
    def _routes(self) -> list[Route]:
        """The ports of Services that lead to the pods, or may."""
        selecting = [
            service
            for service in self._objects.near(self._objects.services, self._workload)
            if services.selects_labels(service, self._workload.labels)
        ]
        oldest = self._objects.assumptions.oldest
        return [route for service in selecting for route in services.routes(service, self._spec, oldest)]

    @cached_property
    def _ports(self) -> list[AppPort]:
        """The app's ports, each once, the declared ones first."""
        ours = frozenset(enforcer.container for enforcer in self._enforcers)
        annotations = section(self._workload.template, "metadata", "annotations")
        known: dict[Endpoint, AppPort] = {}
        for port in app_ports(self._spec, annotations, ours):
            # A probe or a scrape of the enforcer's own port shows no app there; a declaration does.
            if port.declared or port.endpoint not in self._ours:
                former = known.get(port.endpoint)
                known[port.endpoint] = port if former is None else former.merged(port)
        protected = [Endpoint("TCP", number) for number in self._protected]
        targets = [route.endpoint for route in self._routes if route.endpoint not in self._ours]
        for endpoint in (*protected, *(target for target in targets if target is not None)):
            known.setdefault(endpoint, AppPort(endpoint))
        return sorted(known.values(), key=lambda port: port.endpoint)

    def _faults(self) -> Iterator[Opening]:
        """Yield openings that concern no single port."""
        others = len(items(self._spec, "containers")) > len(self._enforcers)
        for enforcer in self._enforcers:
            for part in enforcer.reporting:
                yield Opening(None, f"its policy forwards denied requests: {part}")
            if enforcer.unknown and not enforcer.upstreams and not self._ports and others:
                yield Opening(None, f"the app's port is not known: {'; '.join(enforcer.unknown)}")

    def _describe_enforcers(self) -> None:
        for enforcer in self._enforcers:
            self._notes += enforcer.unknown
        if self._enforcers:
            dead = [route for route in self._routes if route.endpoint is None]
            self._notes += [f"{route} finds no such port in its pods" for route in dead]
            return
        for container in (*items(self._spec, "containers"), *items(self._spec, "initContainers")):
            if container.get("name") == names.CONTAINER:
                command = " ".join(map(str, container.get("command") or ()))
                what = f"image {container.get('image')}" + (f", command {command}" if command else "")
                self._notes.append(f"its container {names.CONTAINER} is not recognized as the enforcer: {what}")
        if self._workload.labels.get(names.INJECT) == "enabled":
            self._notes.append("only the webhook, if it is in force, adds an enforcer to its pods")

    def _open_ports(self) -> Iterator[Opening]:
        for port in self._ports:
            if self._is_accepted(port):
                self._notes.append(f"{port} is not protected, which is accepted")
            elif (detail := self._opening(port)) is not None:
                yield Opening(port, detail)

    def _is_accepted(self, port: AppPort) -> bool:
        """Return whether a port may be open: never the protected one, and no port of an app without an enforcer."""
        if not self._enforcers or port.endpoint.number in self._protected:
            return False
        return not self._objects.assumptions.accepted.isdisjoint(_spellings(port))

    def _opening(self, port: AppPort) -> str | None:
        """Return how clients reach a port without passing the enforcer; None if they cannot."""
        ways = [str(route) for route in self._routes if route.endpoint == port.endpoint]
        if self._spec.get("hostNetwork") is True:
            return f"{port}: the pods use the network of their node"
        if self._is_closed_by_the_pod(port):
            return None
        if port.host_port:
            return f"{port}: hostPort {port.host_port} of the nodes leads to it"
        clients = self._clients(port)
        if not clients:
            return None
        by = ", ".join([*ways, "the pods' addresses"])
        return f"{port}: by {by}; {'; '.join(clients)}"

    def _is_closed_by_the_pod(self, port: AppPort) -> bool:
        """Return whether connections to a port from outside of the pod reach an enforcer instead."""
        if port.endpoint.protocol != "TCP":
            return False
        number = port.endpoint.number
        for enforcer in self._enforcers:
            if number in enforcer.redirected and number != enforcer.listen:
                return True
            if number == enforcer.listen and number in enforcer.upstreams:
                if not enforcer.native:
                    self._conditions.append(f"the app listens on 127.0.0.1:{number} only, or starts after the enforcer")
                # A native sidecar that starts before the enforcer can listen there first.
                return port.native < 0 or (enforcer.native and port.native > enforcer.place)
        return False

    def _clients(self, port: AppPort) -> list[str]:
        """Return the clients that the network lets through to a port, other than enforcers."""
        near = [
            policy
            for policy in self._objects.near(self._objects.policies, self._workload)
            if network_policies.limits_ingress(policy, self._workload.labels)
        ]
        certain = [policy for policy in near if self._objects.shares(policy, self._workload)]
        if not certain:
            return ["no NetworkPolicy selects the pods"]
        admitted = list(network_policies.admitted(near, self._spec, port.endpoint))
        clients = [str(client) for client in admitted if client.peer is None or not self._gateways(client.peer)]
        if not clients:
            closing = ", ".join(f"networkpolicy/{identity(policy)[0]}" for policy in certain)
            self._conditions.append(f"the network enforces {closing}")
            foreign = self._objects.near(self._objects.foreign, self._workload)
            self._conditions += [f"{_called(obj)}, which is not evaluated, admits nobody" for obj in foreign]
        if not admitted:
            ways = [route for route in self._routes if route.endpoint == port.endpoint]
            self._notes += [f"{route} leads to {port}, which the network closes: its clients fail" for route in ways]
        return list(dict.fromkeys(clients))

    def _gateways(self, peer: Object) -> list[Workload]:
        gateways = self._objects.admits_gateways_only(peer, self._workload)
        if gateways:
            called = ", ".join(f"{workload.kind.lower()}/{workload.name}" for workload in gateways)
            self._conditions.append(f"{network_policies.describe(peer)} are of {called} only, an enforcer")
        return gateways


def _spellings(port: AppPort) -> frozenset[str]:
    """Return the ways to name a port when accepting it."""
    protocol = "" if port.endpoint.protocol == "TCP" else f"/{port.endpoint.protocol.lower()}"
    return frozenset(f"{part}{protocol}" for part in (port.name, str(port.endpoint.number)) if part)


def _called(obj: Object) -> str:
    return f"{str(obj.get('kind')).lower()}/{identity(obj)[0]}"
