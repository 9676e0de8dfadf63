"""The verdict on each workload: whether clients can reach a port of its pods without passing the enforcer.

1. Every port counts on which anything in the objects suggests that an app listens, of every protocol.
2. An unknown fact counts as an opening: in a namespace that is not given, a Service may select the pods, and a
   NetworkPolicy may not.
3. Only the kernel and the network close a port. That a Service leads elsewhere closes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from enforcer.kubernetes import names
from enforcer.kubernetes.verify import network_policies, services
from enforcer.kubernetes.verify.added_proxies import added_proxies
from enforcer.kubernetes.verify.enforcers import command_line
from enforcer.kubernetes.verify.object_set import Assumptions, ObjectSet
from enforcer.kubernetes.verify.pods import AppPort, app_ports, own_endpoints, unreadable_parts
from enforcer.kubernetes.verify.services import Endpoint, Route
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
class PortFinding:
    """Whether clients reach a port of an app without passing the enforcer; `opening` is the way, None if there is none.

    `conditions` are those under which it is closed. `limited` is true if the network admits chosen clients only.
    """

    port: AppPort
    opening: str | None = None
    conditions: tuple[str, ...] = ()
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """A bypass, for people; `port` is None if it concerns all of them."""

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
    ports: tuple[PortFinding, ...] = ()
    """The app's ports, without the accepted ones."""
    faults: tuple[str, ...] = ()
    """Openings that concern all ports."""
    notes: tuple[str, ...] = ()

    @property
    def openings(self) -> tuple[Opening, ...]:
        """All openings."""
        ports = ((finding.port, finding.opening) for finding in self.ports)
        openings = (Opening(port, f"{port}: {opening}") for port, opening in ports if opening is not None)
        return (*(Opening(None, fault) for fault in self.faults), *openings)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions under which all ports are closed that are not open."""
        return tuple(dict.fromkeys(condition for finding in self.ports for condition in finding.conditions))


def verify(objects: Sequence[Object], assumptions: Assumptions | None = None) -> list[Finding]:
    """Return the verdict on every workload, in the order of the objects."""
    cluster = ObjectSet(objects, assumptions or Assumptions())
    return [_Verification(cluster, index, workload).finding() for index, workload in cluster.workloads]


FAILS: Final = "the network closes: its clients fail"
"""The end of a note on a Service that leads to a closed port."""
_DISABLED: Final = "disabled"
_NETWORKS: Final = "k8s.v1.cni.cncf.io/networks"
"""Annotation of pods with more networks than that of the cluster (Multus)."""


class _Verification:
    """The verification of one workload."""

    def __init__(self, objects: ObjectSet, index: int, workload: Workload) -> None:
        self._objects = objects
        self._index = index
        self._workload = workload
        self._spec = workload.spec
        self._enforcers = objects.enforcers(workload)
        self._notes: list[str] = []

    def finding(self) -> Finding:
        """Return the finding."""
        faults = tuple(self._faults())
        ports = tuple(self._judge(port) for port in self._ports if not self._is_accepted(port))
        self._describe()
        if faults or any(port.opening is not None for port in ports):
            verdict = Verdict.OPEN
        elif any(port.conditions for port in ports):
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
            ports=ports,
            faults=faults,
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
        """The ports of Services and EndpointSlices that lead to the pods, or may."""
        selecting = [
            service
            for service in self._objects.near(self._objects.services, self._workload)
            if services.may_select_pods(service, self._workload)
        ]
        oldest = self._objects.assumptions.oldest
        selected = [route for service in selecting for route in services.routes(service, self._spec, oldest)]
        # A controller writes EndpointSlices for Services with a selector: the same ways again.
        known = {(route.source, route.endpoint) for route in selected}
        space = self._objects.namespace(self._workload.namespace)
        listed = self._objects.endpoints.routes(self._workload, space)
        return [*selected, *(route for route in listed if (route.source, route.endpoint) not in known)]

    @cached_property
    def _ports(self) -> list[AppPort]:
        """The app's ports, each once, the declared ones first."""
        known: dict[Endpoint, AppPort] = {}
        for port in app_ports(self._spec, self._annotations, self._our_containers):
            # A probe or a scrape of the enforcer's own port shows no app there; a declaration does.
            if port.declared or port.endpoint not in self._ours:
                former = known.get(port.endpoint)
                known[port.endpoint] = port if former is None else former.merged(port)
        targets = [
            *(route.endpoint for route in self._routes if route.endpoint is not None),
            *network_policies.mentioned(self._objects.near(self._objects.policies, self._workload), self._workload),
        ]
        protected = [Endpoint("TCP", number) for number in self._protected]
        for endpoint in (*protected, *(target for target in targets if target not in self._ours)):
            known.setdefault(endpoint, AppPort(endpoint))
        return sorted(known.values(), key=lambda port: port.endpoint)

    @cached_property
    def _annotations(self) -> Object:
        return section(self._workload.template, "metadata", "annotations")

    @cached_property
    def _our_containers(self) -> frozenset[str]:
        return frozenset(enforcer.container for enforcer in self._enforcers)

    @cached_property
    def _policies(self) -> list[Object]:
        """The NetworkPolicies that limit the connections to the pods, or may."""
        near = self._objects.near(self._objects.policies, self._workload)
        return [policy for policy in near if network_policies.may_limit(policy, self._workload)]

    def _faults(self) -> Iterator[str]:
        """Yield openings that concern no single port."""
        yield from unreadable_parts(self._spec, self._our_containers)
        others = len(items(self._spec, "containers")) > len(self._enforcers)
        for enforcer in self._enforcers:
            for part in enforcer.reporting:
                yield f"its policy forwards denied requests: {part}"
            if enforcer.unknown and not enforcer.upstreams and not self._ports and others:
                yield f"the app's port is not known: {'; '.join(enforcer.unknown)}"

    def _describe(self) -> None:
        for enforcer in self._enforcers:
            self._notes += enforcer.unknown
            if enforcer.serves_metrics:
                self._notes.append(f"port {enforcer.admin} serves the app's metrics without a token")
        if self._enforcers:
            dead = [route for route in self._routes if route.endpoint is None]
            self._notes += [f"{route} finds no such port in its pods" for route in dead]
            return
        for container in (*items(self._spec, "containers"), *items(self._spec, "initContainers")):
            if container.get("name") == names.CONTAINER:
                command = " ".join(map(str, command_line(container)[:3]))
                program = f"image {container.get('image')}" + (f", command {command}" if command else "")
                self._notes.append(f"its container {names.CONTAINER} is not recognized as the enforcer: {program}")
        if self._workload.labels.get(names.INJECT) == "enabled" and self._workload.path:
            self._notes.append("only the webhook, if it is in force, adds an enforcer to its pods")

    def _is_accepted(self, port: AppPort) -> bool:
        """Return whether a port may be open: never the protected one, and no port of an app without an enforcer."""
        if not self._enforcers or port.endpoint.number in self._protected:
            return False
        if accepted := not self._objects.assumptions.accepted.isdisjoint(_spellings(port)):
            self._notes.append(f"{port} is not protected, which is accepted")
        return accepted

    def _judge(self, port: AppPort) -> PortFinding:
        """Return whether clients reach a port without passing the enforcer."""
        if self._spec.get("hostNetwork") not in (None, False):
            return PortFinding(port, "by the network of the node, which the pods use")
        if (conditions := self._closed_by_the_pod(port)) is not None:
            return PortFinding(port, conditions=conditions)
        if port.host_port:
            return PortFinding(port, f"by hostPort {port.host_port} of the nodes")
        return self._judge_by_the_network(port)

    def _closed_by_the_pod(self, port: AppPort) -> tuple[str, ...] | None:
        """Return the conditions under which connections to a port from outside of the pod reach an enforcer instead.

        None if they reach the app.
        """
        number = port.endpoint.number
        namespace = self._objects.namespace_of(self._workload)
        proxies = [f"{each} forwards nothing past the enforcer" for each in added_proxies(self._workload, namespace)]
        for enforcer in self._enforcers if port.endpoint.protocol == "TCP" else ():
            if number in enforcer.redirected and number != enforcer.listen:
                return tuple(proxies)
            # An init container that starts before the enforcer can listen there first.
            is_first = port.init < 0 or (enforcer.native and port.init > enforcer.place)
            if number == enforcer.listen and number in enforcer.upstreams and is_first:
                late = f"the app listens on 127.0.0.1:{number} only, or starts after the enforcer"
                return (*([] if enforcer.native else [late]), *proxies)
        return None

    def _judge_by_the_network(self, port: AppPort) -> PortFinding:
        routes = [route for route in self._routes if route.endpoint == port.endpoint]
        by = ", ".join([*map(str, routes), "the pods' addresses"])
        certain = [policy for policy in self._policies if self._objects.surely_limits(policy, self._workload)]
        if not certain:
            return PortFinding(port, f"by {by}; {self._objects.no_policy}")
        if self._annotations.get(_NETWORKS):
            return PortFinding(port, f"by the networks of {_NETWORKS}, on which NetworkPolicies are not enforced")
        conditions = [f"the network enforces {', '.join(map(_called, certain))}"]
        clients = list(network_policies.admitted(self._policies, self._spec, port.endpoint))
        others = []
        for client in clients:
            gateways = [] if client.peer is None else self._objects.gateways_of(client.peer, self._workload)
            if client.peer is not None and gateways:
                called = ", ".join(f"{workload.kind.lower()}/{workload.name}" for workload in gateways)
                conditions.append(f"{network_policies.describe(client.peer)} are of {called} only, an enforcer")
            else:
                others.append(str(client))
        if others:
            limited = all(client.peer is not None for client in clients)
            return PortFinding(port, f"by {by}; {'; '.join(dict.fromkeys(others))}", limited=limited)
        if not clients:
            self._notes += [f"{route} leads to {port}, which {FAILS}" for route in routes]
        # No policy keeps out the node of the pods.
        masking = (route for route in routes if route.masks)
        conditions += [f"the network does not take the clients of {route} for a node" for route in masking]
        foreign = self._objects.near(self._objects.foreign, self._workload)
        conditions += [f"{_called(obj)}, which is not evaluated, admits nobody" for obj in foreign]
        return PortFinding(port, conditions=tuple(conditions))


def _spellings(port: AppPort) -> frozenset[str]:
    """Return the ways to name a port when accepting it."""
    protocol = "" if port.endpoint.protocol == "TCP" else f"/{port.endpoint.protocol.lower()}"
    return frozenset(f"{part}{protocol}" for part in (port.name, str(port.endpoint.number)) if part)


def _called(obj: Object) -> str:
    return f"{str(obj.get('kind')).lower()}/{identity(obj)[0]}"
