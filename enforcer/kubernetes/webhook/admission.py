"""The webhook's decision on a pod that is about to be created, made with the code of `enforcer inject`.

1. A pod with the label `enforcer.dev/inject: enabled` gets the sidecar or is denied, whatever the obstacle.
2. If only the namespace has the label, pods that serve no HTTP are not injected: they have nothing to protect. An
   annotation records it, so that the admission policy admits them.
3. An existing sidecar is replaced by one from the current settings and the options that its status carries, so that
   repeated calls, and calls after `enforcer inject`, give the same result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import status_of
from enforcer.kubernetes.carried_options import carried
from enforcer.kubernetes.inject.bypass_report import bypass, bypass_lines, verify_pod
from enforcer.kubernetes.inject.diagnostics import diagnose, summary
from enforcer.kubernetes.inject.pod.choice import choose_port
from enforcer.kubernetes.inject.pod.pod_template import SLEEP, Context, Plan, choose_native, inject
from enforcer.kubernetes.inject.pod.uninject import uninject
from enforcer.kubernetes.inject.report import Result as ReportResult
from enforcer.kubernetes.inject.workload_pass import with_former_port, with_former_protocol
from enforcer.kubernetes.settings import Settings, SettingsError, with_annotations
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.verify.enforcers import repository
from enforcer.kubernetes.webhook.locks import ALLOWED, with_former_options, with_pod_annotations
from enforcer.kubernetes.workloads import NO_HTTP, NotInjectableError, Reason, Workload, all_containers, check
from enforcer.yamltext.objects import Object, identity, items, section


class Result(StrEnum):
    """The result for a pod. The values are metric labels."""

    INJECTED = "injected"
    SKIPPED = "skipped"
    DENIED = "denied"
    ERROR = "error"


class AdmissionReason(StrEnum):
    """Reasons besides those of `workloads.Reason`. The values are metric labels."""

    OK = "ok"
    NOT_WANTED = "not_wanted"  # neither the pod nor its namespace asks for injection
    MALFORMED_REVIEW = "malformed_review"
    NAMESPACE_UNAVAILABLE = "namespace_unavailable"
    INTERNAL = "internal"


_NOTHING_TO_PROTECT: Final = (Reason.NO_PORT, *NO_HTTP)

OUTCOMES: Final[Mapping[Result, Sequence[str]]] = {
    Result.INJECTED: (AdmissionReason.OK,),
    Result.SKIPPED: (AdmissionReason.NOT_WANTED, Reason.DISABLED, Reason.PRESENT, *_NOTHING_TO_PROTECT),
    Result.DENIED: tuple(reason for reason in Reason if reason not in (Reason.DISABLED, Reason.OWNED, Reason.PRESENT)),
    Result.ERROR: (AdmissionReason.MALFORMED_REVIEW, AdmissionReason.NAMESPACE_UNAVAILABLE, AdmissionReason.INTERNAL),
}
"""The possible reasons for each result."""


@dataclass(frozen=True, slots=True)
class AdmissionDecision:
    """The decision on a pod: `pod` is to be created, None if denied; `message` and `warnings` are for people."""

    result: Result
    reason: Reason | AdmissionReason
    pod: Object | None
    message: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Decides on pods: `settings` are the defaults, `version` in the context is the cluster's.

    `allowed` are the annotations that pods may use.
    """

    settings: Settings
    context: Context
    allowed: frozenset[str] = ALLOWED

    def decide(self, pod: Object, namespace: Object) -> AdmissionDecision:
        """Decide on a pod that is to be created in a namespace."""
        label = section(pod, "metadata", "labels").get(names.INJECT)
        namespace_label = section(namespace, "metadata", "labels").get(names.INJECT)
        requested = namespace_label if label is None else label
        if requested in (None, _DISABLED):
            reason = Reason.DISABLED if label else AdmissionReason.NOT_WANTED
            return AdmissionDecision(Result.SKIPPED, reason, pod, f"it is not labelled {names.INJECT}: {_ENABLED}")
        if requested != _ENABLED:
            message = f"label {names.INJECT}: expected {_ENABLED} or {_DISABLED}, found {requested}"
            return AdmissionDecision(Result.DENIED, Reason.BAD_SETTING, None, message)
        try:
            return self._injected(pod, namespace)
        except NotInjectableError as error:
            if error.reason is Reason.PRESENT:
                return AdmissionDecision(Result.SKIPPED, error.reason, pod, error.detail)
            if error.reason in _NOTHING_TO_PROTECT and label is None:
                return AdmissionDecision(Result.SKIPPED, error.reason, _skipped(pod, error.reason), error.detail)
            return AdmissionDecision(Result.DENIED, error.reason, None, error.detail)
        except SettingsError as error:
            return AdmissionDecision(Result.DENIED, Reason.BAD_SETTING, None, str(error))

    def _injected(self, pod: Object, namespace: Object) -> AdmissionDecision:
        original, status = pod, status_of(pod)
        pod = uninject(pod) or pod
        settings = with_annotations(self.settings, section(namespace, "metadata", "annotations"))
        settings = with_former_options(settings, status, self.allowed)
        options = carried(settings, self.context.package)
        settings = with_pod_annotations(settings, section(pod, "metadata", "annotations"), self.allowed)
        workload = Workload("Pod", workload_name(pod), None, (), pod)
        if status is None and self._is_protected(pod, namespace, settings):
            raise NotInjectableError(Reason.PRESENT, "it has the enforcer, which no injection has added")
        check(workload)
        if status is not None:
            if self.allowed >= {"port", "container"}:
                settings = with_former_port(settings, workload, status)
            if settings.native is None and "native-sidecar" in self.allowed:
                settings = replace(settings, native=names.CONTAINER in _names(original, "initContainers"))
        # The webhook does not see Services: only the pod itself tells which port speaks HTTP.
        choice = with_former_protocol(choose_port(workload.spec, settings, []), status)
        port = choice.port
        if port.name is None and status is not None and status.name:
            port = replace(port, name=status.name)
        named = settings.mode is Mode.PORT and port.name is not None
        native = choose_native(workload, settings, self.context.version, named)
        plan = Plan(
            workload=workload,
            settings=settings,
            port=port,
            context=self.context,
            native=native,
            protocol=choice.finding,
            others=choice.others,
            options=options,
            policy_checksum=section(original, "metadata", "annotations").get(names.POLICY_CHECKSUM),
        )
        injected = inject(plan)
        warnings = [line.detail for line in diagnose(injected, None, (), ()) if line.result is ReportResult.WARNING]
        # The webhook sees neither NetworkPolicies nor Services.
        finding = verify_pod(injected.template, namespace, injected.sidecar.image, self.context.version)
        warnings.extend(detail for _, detail in bypass_lines(finding))
        if settings.mode is Mode.PORT:
            target = f'"{port.name}"' if port.name else f'"{names.LISTEN_PORT_NAME}"'
            way = f"one that uses the number {port.number} bypasses the enforcer"
            warnings.append(f"Services must use targetPort {target}; {way}")
        status = status_of(injected.template)
        if self.context.version < SLEEP and status is not None and status.pre_stop:
            warnings.append(_NO_SLEEP)
        message = f"{summary(injected)}, {bypass(finding)}"
        template = original if _is_same(injected.template, original) else injected.template
        return AdmissionDecision(Result.INJECTED, AdmissionReason.OK, template, message, tuple(warnings))

    def _is_protected(self, pod: Object, namespace: Object, settings: Settings) -> bool:
        """Return whether a pod brings an enforcer of its own, as a chart or a kustomization writes it.

        Only what its annotations could say, too, may be in it: if the platform locks more, it is not accepted.
        """
        if not self.allowed >= ALLOWED or not settings.allow_report_mode:
            return False
        ours = [each for each in all_containers(section(pod, "spec")) if each.get("name") == names.CONTAINER]
        if {repository(str(each.get("image"))) for each in ours} != {repository(settings.image)}:
            return False
        # Variables of a ConfigMap or Secret may replace the program, and their names are not in the review.
        if any(each.get("envFrom") for each in ours):
            return False
        finding = verify_pod(pod, namespace, settings.image, self.context.version)
        return bool(finding.protected) and not finding.faults


_NO_SLEEP: Final = (
    f"before Kubernetes {'.'.join(map(str, SLEEP))} a preStop hook cannot sleep: the app ends at once, and "
    "requests fail until Services send it no more; give it a preStop hook of its own"
)
_ENABLED: Final = "enabled"
_DISABLED: Final = "disabled"


def _names(pod: Object, key: str) -> list[Any]:
    return [container.get("name") for container in items(section(pod, "spec"), key)]


def _is_same(pod: Object, other: Object) -> bool:
    """Return whether two pods are equal, whichever program has injected them."""
    return _without_author(pod) == _without_author(other)


def _without_author(pod: Object) -> Object:
    annotations = {**section(pod, "metadata", "annotations"), names.INJECTED_BY: ""}
    return {**pod, "metadata": {**section(pod, "metadata"), "annotations": annotations}}


def _skipped(pod: Object, reason: Reason) -> Object:
    """Return the pod with the annotation that says why it has no sidecar."""
    annotations = {**section(pod, "metadata", "annotations"), names.SKIPPED: reason.value}
    return {**pod, "metadata": {**section(pod, "metadata"), "annotations": annotations}}


def workload_name(pod: Object) -> str:
    """Return the name of the workload that people wrote: of a Deployment, a Rollout, a CronJob, or the controller."""
    metadata = section(pod, "metadata")
    owner = next((ref for ref in items(metadata, "ownerReferences") if ref.get("controller") is True), None)
    if owner is None:
        return identity(pod)[0]
    name = str(owner.get("name"))
    labels = section(metadata, "labels")
    match owner.get("kind"):
        case "ReplicaSet":
            # The hash that a Deployment or a Rollout appends to the name, and sets as a label of the pods.
            hashed = labels.get("pod-template-hash") or labels.get("rollouts-pod-template-hash")
            return name.removesuffix(f"-{hashed}") if hashed else name
        case "Job":
            # The scheduled time in minutes since 1970, which a CronJob appends.
            return _SCHEDULED.sub("", name)
    return name


_SCHEDULED: Final = re.compile(r"-[0-9]{8,10}\Z")
