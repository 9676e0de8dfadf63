"""Injects every selected workload, and changes the Services, NetworkPolicies and autoscalers that belong to it.

A workload that has a sidecar already is uninjected first, and the options of that injection apply again, except those
that this one sets. So injecting twice gives the same as injecting once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import is_ours, ours
from enforcer.kubernetes.inject.bypass_report import report_bypasses
from enforcer.kubernetes.inject.diagnostics import diagnose, summary
from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.kubernetes.inject.objects import scaling, services
from enforcer.kubernetes.inject.objects.networkpolicies import network_policy, policy_names, short_policy_name
from enforcer.kubernetes.inject.pod.pod_template import Injected, Plan, choose_native, inject
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.inject.pod.uninject import uninject
from enforcer.kubernetes.inject.report import Result, called
from enforcer.kubernetes.inject.surroundings import surroundings
from enforcer.kubernetes.inject.workload_pass import Options, WorkloadPass
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import NotInjectableError, Reason, Workload, with_template, workload_of
from enforcer.yamltext.objects import Object, identity, is_stored, section

_POLICY: Final = "NetworkPolicy"


def inject_all(objects: Sequence[Object], options: Options) -> Outcome:
    """Inject every workload that the options select."""
    workloads = WorkloadPass(objects, options)
    injector = _Injector(workloads)
    return workloads.run(injector.inject, conclude=injector.conclude)


class _Injector:
    """The step that injects one workload."""

    def __init__(self, workloads: WorkloadPass) -> None:
        self._workloads = workloads
        self._manifests = workloads.manifests
        self._options = workloads.options
        self._injections: dict[int, Injected] = {}

    def conclude(self) -> None:
        """Report whether the bypass is closed, when all workloads have been injected."""
        report_bypasses(self._manifests, self._injections, self._options.version)

    def inject(self, index: int, workload: Workload) -> None:
        """Inject the workload at an index; raises NotInjectableError and SettingsError."""
        workload = replace(workload, template=uninject(workload.template) or workload.template)
        settings, options, selecting, choice = self._workloads.inspect(index, workload)
        status, port = self._workloads.status(index), choice.port
        if port.name is None and status is not None and status.name and not selecting:
            port = replace(port, name=status.name)
        for place, service in selecting:
            self._manifests.current[place] = service
        if settings.mode is Mode.PORT:
            port = self._name_port(index, workload, selecting, port)
        current = [obj for place, _ in selecting if (obj := self._manifests.current[place]) is not None]
        found_by_name = settings.mode is Mode.PORT and services.by_name(current, port)
        plan = Plan(
            workload=workload,
            settings=settings,
            port=port,
            protocol=choice.finding,
            others=choice.others,
            context=self._options,
            native=choose_native(workload, settings, self._options.version, found_by_name),
            policy_checksum=self._policy_checksum(workload, settings) or self._former_checksum(index),
            options=options,
        )
        injected = inject(plan)
        original = self._manifests.originals[index]
        self._manifests.current[index] = with_template(original, workload.path, injected.template)
        closing = self._network_policy(original, injected)
        self._manifests.report(index, Result.INJECTED, summary(injected))
        if closing is not None:
            self._manifests.put(index, closing)
        self._remove_former_policies(workload, closing)
        if self._options.policy is not None:
            data, name = dict(self._options.policy), injected.sidecar.policy
            self._manifests.put(index, ours("ConfigMap", "v1", name, workload.namespace, self._options.by, data=data))
        self._separate_metrics(workload, port)
        self._injections[index] = injected
        around = self._manifests.originals, [service for _, service in selecting]
        for line in (*diagnose(injected, closing, *around), *surroundings(injected, *around)):
            self._manifests.report(index, line.result, line.detail, line.name)

    def _name_port(self, index: int, workload: Workload, selecting: Sequence[tuple[int, Object]], port: Port) -> Port:
        """Have Services find the enforcer by the port's name; return the port with that name."""
        numeric = [(place, service) for place, service in selecting if services.by_number(service, port)]
        if late := [service for place, service in numeric if not self._may_change_target(index, place)]:
            raise NotInjectableError(
                Reason.NUMERIC_TARGET_PORT,
                f"port {port.number} is the targetPort of {', '.join(map(called, late))} by number, and running "
                "pods listen on no other port. Inject in two steps: `enforcer inject --prepare`, a rollout, then "
                "`enforcer inject`. Or use --mode loopback, or --force-service, which interrupts the service",
            )
        name = self._workloads.shared_name(workload, port, selecting) if numeric else port.name
        for place, service in selecting:
            if name is not None and services.by_number(service, port):
                detail = f'targetPort is now "{name}", the enforcer, instead of {port.number}'
                self._manifests.change(place, services.taken_over(service, port, name), detail)
                if not self._options.force_service and not services.is_taken_over(self._manifests.originals[place]):
                    self._manifests.report(place, Result.NOTE, "if its pods run already, use `--prepare` first")
            elif name is not None and name in services.targets(service) and not services.is_headless(service):
                self._manifests.report(place, Result.UNCHANGED, f'targetPort "{name}" now resolves to the enforcer')
        return replace(port, name=name)

    def _may_change_target(self, index: int, place: int) -> bool:
        """Return whether a Service's target may change at once: no pods run yet, or an injection changed it before."""
        workload, service = self._manifests.originals[index], self._manifests.originals[place]
        if self._options.force_service or services.is_taken_over(service):
            return True
        return not is_stored(workload) and not is_stored(service)

    def _policy_checksum(self, workload: Workload, settings: Settings) -> str | None:
        """Return the policy's checksum, None if it is not known; raises NotInjectableError if it cannot be used."""
        data = self._options.policy
        name = settings.policy or f"{workload.name}-enforcer"
        for other in self._manifests.originals:
            if not services.is_named(other, "ConfigMap", name, workload.namespace):
                continue
            if self._options.policy is not None and not is_ours(other):
                message = f"configmap/{name} already exists; choose another name for the policy (--policy-configmap)"
                raise NotInjectableError(Reason.NAME_TAKEN, message)
            if self._options.policy is None:
                data = section(other, "data")
                if settings.policy_key not in data:
                    message = f"configmap/{name} has no key {settings.policy_key}; choose another (--policy-configmap)"
                    raise NotInjectableError(Reason.BAD_SETTING, message)
        return None if data is None else hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    def _former_checksum(self, index: int) -> str | None:
        """Return the checksum of a former injection, which may have known the policy."""
        template = workload_of(self._manifests.originals[index])
        annotations = {} if template is None else section(template.template, "metadata", "annotations")
        return annotations.get(names.POLICY_CHECKSUM)

    def _network_policy(self, obj: Object, injected: Injected) -> Object | None:
        """Write the NetworkPolicy that closes the bypass; None if none is wanted, or if no labels select the pods.

        Raises NotInjectableError if its names are taken.
        """
        wanted = injected.plan.settings.network_policy
        if wanted is False or (wanted is None and injected.sidecar.mode is not Mode.PORT):
            return None
        return network_policy(obj, injected, self._policy_name(injected.plan.workload), self._manifests.originals)

    def _policy_name(self, workload: Workload) -> str:
        """Return a name for a workload's NetworkPolicy that no other object has: of two with one name, one is lost."""
        candidates = policy_names(workload)
        for candidate in candidates:
            named = [
                obj
                for obj in self._manifests.originals
                if services.is_named(obj, _POLICY, candidate, workload.namespace)
            ]
            if all(map(is_ours, named)):
                return candidate
        how = "rename it, or write the policy yourself (--no-network-policy)"
        message = f"networkpolicy/{candidates[-1]} already exists; {how}"
        raise NotInjectableError(Reason.NAME_TAKEN, message)

    def _remove_former_policies(self, workload: Workload, current: Object | None) -> None:
        workloads = (other for obj in self._manifests.originals if (other := workload_of(obj)) is not None)
        same = [other for other in workloads if (other.name, other.namespace) == (workload.name, workload.namespace)]
        # Earlier versions gave every kind the short name, which may be that of a Deployment now.
        short = [short_policy_name(workload)] if len(same) == 1 else []
        for name in dict.fromkeys([*policy_names(workload), *short]):
            if current is None or name != identity(current)[0]:
                for former in self._manifests.find_ours(_POLICY, name, workload.namespace):
                    self._manifests.remove(former)

    def _separate_metrics(self, workload: Workload, port: Port) -> None:
        """Have autoscalers measure the app's container only."""
        for index, obj in enumerate(self._manifests.originals):
            if not scaling.scales(obj, workload):
                continue
            before = scaling.given_back(obj)
            autoscaler = before or obj
            if not scaling.mixes(autoscaler):
                continue
            if (self._options.fix_hpa or before is not None) and scaling.can_be_separated(autoscaler):
                separated = scaling.separated(autoscaler, port.container)
                self._manifests.change(index, separated, f"measures the container {port.container} only")
            else:
                how = "--fix-hpa" if scaling.can_be_separated(autoscaler) else "requires autoscaling/v2"
                message = f"its Resource metric includes the enforcer's usage; use ContainerResource ({how})"
                self._manifests.report(index, Result.WARNING, message)
