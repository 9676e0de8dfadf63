"""Injects every workload that is meant, and has what leads to it follow.

What is injected already is taken back first: so doing it twice is doing it once, and what was wanted before does not
linger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from enforcer.kubernetes import names, scaling
from enforcer.kubernetes import services as leading
from enforcer.kubernetes.advice import Injected, advice, summary
from enforcer.kubernetes.manifests import Options, Outcome, Wanting
from enforcer.kubernetes.marks import is_ours
from enforcer.kubernetes.networkpolicies import network_policy
from enforcer.kubernetes.pods import Plan, choose_native, inject, make_sidecar
from enforcer.kubernetes.ports import Port, find_port, is_tcp
from enforcer.kubernetes.report import Result, called
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode, Sidecar
from enforcer.kubernetes.status import status_of
from enforcer.kubernetes.undo import uninject
from enforcer.kubernetes.workloads import (
    NotInjectableError,
    Object,
    Reason,
    Workload,
    check,
    check_owner,
    containers,
    identity,
    items,
    section,
    with_template,
)


def inject_all(things: Sequence[Object], options: Options) -> Outcome:
    """Inject every workload that is meant."""
    return _Injecting(things, options).each()


def prepare_all(things: Sequence[Object], options: Options) -> Outcome:
    """Give every port a name, and let Services find it by that: nothing changes, until it is injected."""
    return _Preparing(things, options).each()


def check_all(things: Sequence[Object], options: Options) -> Outcome:
    """Tell of every workload that should be injected whether it is."""
    return _Checking(things, options).each()


class _Seen(Wanting):
    """What has to be known of a workload before anything is done with it."""

    def look_at(self, at: int, workload: Workload) -> tuple[Settings, list[tuple[int, Object]], Port]:
        """Return what is wanted of it, what leads to it, and the port that is to be protected."""
        check_owner(self.things[at])
        settings = self.settings_of(self.things[at], workload)
        check(workload)
        services = self.services_of(workload)
        targets = [target for _, service in services for target in leading.targets(service)]
        return settings, services, find_port(workload.spec, settings, targets)


class _Injecting(_Seen):
    def one(self, at: int, workload: Workload) -> None:
        thing = self.things[at]
        workload = replace(workload, template=uninject(workload.template) or workload.template)
        settings, services, port = self.look_at(at, workload)
        for place, service in services:
            self.now[place] = service
        if settings.mode is Mode.PORT:
            port = self._name(workload, services, port)
        found_by_name = settings.mode is Mode.PORT and leading.by_name([*self._now(services)], port)
        plan = Plan(
            settings=settings,
            port=port,
            version=self.options.version,
            native=choose_native(workload, settings, self.options.version, found_by_name),
            package=self.options.package,
            by=self.options.by,
            policy_checksum=self._checksum(workload, settings),
        )
        sidecar = make_sidecar(workload, plan)
        template = inject(workload.template, sidecar, plan)
        self.now[at] = with_template(thing, workload.path, template)
        closing = self._closing(thing, workload, sidecar, settings)
        at_hand = plan.policy_checksum is not None
        injected = Injected(workload, settings, sidecar, port, template, closing, at_hand)
        self.say(at, Result.INJECTED, summary(injected))
        self._close(at, workload, closing)
        self._bring_policy(at, workload, sidecar)
        self._separate(workload, port)
        for line in advice(injected, self.things, [service for _, service in services]):
            self.say(at, line.result, line.detail, line.thing)

    def _now(self, services: Sequence[tuple[int, Object]]) -> Sequence[Object]:
        return [found for at, _ in services if (found := self.now[at]) is not None]

    def _name(self, workload: Workload, services: Sequence[tuple[int, Object]], port: Port) -> Port:
        """Let Services find the enforcer by the name of the port; return the port with that name."""
        numeric = [(at, service) for at, service in services if leading.by_number(service, port)]
        if late := [service for at, service in numeric if not self._may_turn(at)]:
            raise NotInjectableError(
                Reason.NUMERIC_TARGET_PORT,
                f"port {port.number} is found by its number by {', '.join(map(called, late))}, and pods that run "
                "already listen on no other. In two steps: `enforcer inject --prepare`, rolled out, then `enforcer "
                "inject`. Or --mode loopback, or --force-service for a first install",
            )
        name = port.name
        if name is None and numeric:
            name = leading.name_for([service for _, service in services], port, workload.spec)
        for at, service in services:
            if name is not None and leading.by_number(service, port):
                self.now[at] = leading.taken_over(service, port, name)
                self.say(at, Result.CHANGED, f'targetPort "{name}" instead of {port.number}: the enforcer')
            elif name is not None and name in leading.targets(service) and not leading.is_headless(service):
                self.say(at, Result.UNCHANGED, f'targetPort "{name}" now resolves to the enforcer')
        return replace(port, name=name)

    def _may_turn(self, at: int) -> bool:
        return self.options.force_service or leading.is_taken_over(self.things[at])

    def _checksum(self, workload: Workload, settings: Settings) -> str | None:
        """Return the checksum of the policy, if it is at hand; raises NotInjectableError where it cannot be."""
        data = self.options.policy
        name = settings.policy or f"{workload.name}-enforcer"
        for other in self.things:
            if other.get("kind") != "ConfigMap" or identity(other)[0] != name:
                continue
            if not leading.near(identity(other)[1], workload.namespace):
                continue
            if self.options.policy is not None and not is_ours(other):
                message = f"configmap/{name} is there already; name another for --policy (--policy-configmap)"
                raise NotInjectableError(Reason.NAME_TAKEN, message)
            if self.options.policy is None:
                data = section(other, "data")
                if settings.policy_key not in data:
                    message = f"configmap/{name} has no {settings.policy_key}; name the right key (--policy-configmap)"
                    raise NotInjectableError(Reason.BAD_SETTING, message)
        return None if data is None else hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    def _closing(self, thing: Object, workload: Workload, sidecar: Sidecar, settings: Settings) -> Object | None:
        """Write the NetworkPolicy that closes the way around the enforcer, where one is wanted and there can be one."""
        wanted = sidecar.mode is Mode.PORT if settings.network_policy is None else settings.network_policy
        if not wanted:
            return None
        return network_policy(thing, workload, sidecar, settings.monitoring_namespace, self.options.by)

    def _close(self, at: int, workload: Workload, closing: Object | None) -> None:
        """Add it, or take away the one that was there."""
        if closing is not None:
            self._put(at, closing)
            return
        for place, other in enumerate(self.things):
            if self._is_same(other, "NetworkPolicy", f"{workload.name}-enforcer", workload.namespace):
                self.now[place] = None
                self.say(place, Result.REMOVED, "not from the cluster: kubectl delete")

    def _bring_policy(self, at: int, workload: Workload, sidecar: Sidecar) -> None:
        """Put the policy that was given into a ConfigMap."""
        if self.options.policy is None:
            return
        metadata: Object = {"name": sidecar.policy}
        if workload.namespace is not None:
            metadata["namespace"] = workload.namespace
        metadata["annotations"] = {names.INJECTED_BY: self.options.by}
        data = dict(self.options.policy)
        self._put(at, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    def _put(self, at: int, made: Object) -> None:
        """Add an object, in the place of the one that was made before."""
        kind, (name, namespace) = made["kind"], identity(made)
        for place, other in enumerate(self.things):
            if self._is_same(other, kind, name, namespace):
                self.now[place] = made
                self.say(place, Result.UNCHANGED if made == other else Result.CHANGED)
                return
        if made not in (other for _, other in self.added):
            self.added.append((at, made))
            self.say(at, Result.ADDED, thing=called(made))

    def _is_same(self, other: Object, kind: str, name: str, namespace: str | None) -> bool:
        return is_ours(other) and other.get("kind") == kind and identity(other) == (name, namespace)

    def _separate(self, workload: Workload, port: Port) -> None:
        """Have autoscalers look at the app alone."""
        for at, thing in enumerate(self.things):
            if not scaling.scales(thing, workload):
                continue
            before = scaling.given_back(thing)
            scaler = before or thing
            if not scaling.mixes(scaler):
                continue
            if (self.options.fix_hpa or before is not None) and scaling.can_be_separated(scaler):
                self.now[at] = scaling.separated(scaler, port.container)
                self.say(at, Result.CHANGED, f"looks at the container {port.container} alone")
            else:
                how = "--fix-hpa" if scaling.can_be_separated(scaler) else "autoscaling/v2 has it"
                message = f"Resource metric mixes app and enforcer; use ContainerResource ({how})"
                self.say(at, Result.WARNING, message)


class _Preparing(_Seen):
    def one(self, at: int, workload: Workload) -> None:
        if status_of(workload.template) is not None:
            self.say(at, Result.UNCHANGED, "it is injected already")
            return
        settings, services, port = self.look_at(at, workload)
        if settings.mode is not Mode.PORT:
            self.say(at, Result.UNCHANGED, f"mode {settings.mode} needs no preparation")
            return
        name = port.name or leading.name_for([service for _, service in services], port, workload.spec)
        if port.name is None:
            self.now[at] = with_template(self.things[at], workload.path, _named(workload, port, name))
            self.say(at, Result.CHANGED, f'port {port.number} of {port.container} is called "{name}"')
        for place, service in services:
            if leading.by_number(service, port):
                self.now[place] = leading.renumbered(self.now[place] or service, port, name)
                self.say(place, Result.CHANGED, f'targetPort "{name}" instead of {port.number}, which is the same')


def _named(workload: Workload, port: Port, name: str) -> Object:
    """Return the template with a name for a port that has none, or is not declared."""

    def with_name(one: Object) -> Object:
        if one.get("name") != port.container:
            return one
        ports = [
            {**each, "name": name} if each.get("containerPort") == port.number and is_tcp(each) else each
            for each in items(one, "ports")
        ]
        if not any(each.get("name") == name for each in ports):
            ports.append({"name": name, "containerPort": port.number})
        return {**one, "ports": ports}

    spec = {**workload.spec, "containers": [with_name(one) for one in containers(workload.spec)]}
    return {**workload.template, "spec": spec}


class _Checking(_Seen):
    unable = unclear = Result.MISSING

    def one(self, at: int, workload: Workload) -> None:
        status = status_of(workload.template)
        if status is not None and self._has_sidecar(workload):
            self.say(at, Result.INJECTED, f"by version {status.version}, mode {status.mode}")
            return
        self.look_at(at, workload)
        self.say(at, Result.MISSING, "no sidecar: `enforcer inject`")

    def _has_sidecar(self, workload: Workload) -> bool:
        every = [one for key in ("containers", "initContainers") for one in items(workload.spec, key)]
        return any(one.get("name") == names.CONTAINER for one in every)
