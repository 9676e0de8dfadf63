"""What becomes of one pod that is about to be created: the webhook's decision, by the library of `enforcer inject`.

1. Who asked for the sidecar by the pod's label gets it, or no pod: whatever stands in its way is a denial.
2. Where a namespace asks for all its pods, those without a TCP port, which have nothing to protect, start as they are.
3. A pod that has the sidecar already gets the one that is wanted now, so that to be asked twice is to be asked once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.diagnostics import Injected, advice, summary
from enforcer.kubernetes.inject.pod.pod_template import Plan, Version, choose_native, inject, make_sidecar
from enforcer.kubernetes.inject.pod.ports import Port, find_port
from enforcer.kubernetes.inject.pod.uninject import uninject
from enforcer.kubernetes.inject.report import Result as Told
from enforcer.kubernetes.settings import Settings, SettingsError, with_annotations
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import NotInjectableError, Reason, Workload, check
from enforcer.yamltext.objects import Object, identity, items, section


class Result(StrEnum):
    """What became of a pod. The values are metric labels."""

    INJECTED = "injected"
    SKIPPED = "skipped"
    DENIED = "denied"
    ERROR = "error"


class Why(StrEnum):
    """Reasons beside those for which a workload is not injected. The values are metric labels."""

    OK = "ok"
    NOT_WANTED = "not_wanted"  # nobody asked for it
    MALFORMED_REVIEW = "malformed_review"
    NAMESPACE_UNAVAILABLE = "namespace_unavailable"
    INTERNAL = "internal"


OUTCOMES: Final[Mapping[Result, Sequence[str]]] = {
    Result.INJECTED: (Why.OK,),
    Result.SKIPPED: (Why.NOT_WANTED, Reason.DISABLED, Reason.NO_PORT),
    Result.DENIED: tuple(reason for reason in Reason if reason not in (Reason.DISABLED, Reason.OWNED)),
    Result.ERROR: (Why.MALFORMED_REVIEW, Why.NAMESPACE_UNAVAILABLE, Why.INTERNAL),
}
"""Every reason that a result has."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision: `pod` is what is to be created, None where nothing is; `message` and `warnings` are for people."""

    result: Result
    reason: Reason | Why
    pod: Object | None
    message: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Decides: `settings` are those of all pods, `version` is the cluster's, and `package` the enforcer's own."""

    settings: Settings
    version: Version
    package: str

    def decide(self, pod: Object, namespace: Object) -> Verdict:
        """Decide on a pod that is to be created in a namespace."""
        label = section(pod, "metadata", "labels").get(names.INJECT)
        of_namespace = section(namespace, "metadata", "labels").get(names.INJECT)
        said = of_namespace if label is None else label
        if said in (None, _DISABLED):
            reason = Reason.DISABLED if label else Why.NOT_WANTED
            return Verdict(Result.SKIPPED, reason, pod, f"it is not labelled {names.INJECT}: {_ENABLED}")
        if said != _ENABLED:
            message = f"the label {names.INJECT} is {_ENABLED} or {_DISABLED}, found {said}"
            return Verdict(Result.DENIED, Reason.BAD_SETTING, None, message)
        try:
            return self._injected(pod, namespace)
        except NotInjectableError as error:
            if error.reason is Reason.NO_PORT and label is None:
                return Verdict(Result.SKIPPED, error.reason, pod, error.detail)
            return Verdict(Result.DENIED, error.reason, None, error.detail)
        except SettingsError as error:
            return Verdict(Result.DENIED, Reason.BAD_SETTING, None, str(error))

    def _injected(self, pod: Object, namespace: Object) -> Verdict:
        pod = uninject(pod) or pod
        settings = with_annotations(self.settings, section(namespace, "metadata", "annotations"))
        settings = with_annotations(settings, section(pod, "metadata", "annotations"))
        workload = Workload("Pod", workload_name(pod), None, (), pod)
        check(workload)
        # Services are nowhere in sight: the port must be the only one, or be said.
        port = find_port(workload.spec, settings, [])
        named = settings.mode is Mode.PORT and port.name is not None
        plan = Plan(
            settings=settings,
            port=port,
            version=self.version,
            native=choose_native(workload, settings, self.version, named),
            package=self.package,
            by=_BY,
        )
        sidecar = make_sidecar(workload, plan)
        template = inject(pod, sidecar, plan)
        injected = Injected(workload, settings, sidecar, port, template, None, False)
        warnings = [line.detail for line in advice(injected, (), ()) if line.result is Told.WARNING]
        if settings.mode is Mode.PORT:
            warnings.append(_unseen(port))
        return Verdict(Result.INJECTED, Why.OK, template, summary(injected), tuple(warnings))


_ENABLED: Final = "enabled"
_DISABLED: Final = "disabled"
_BY: Final = "webhook"


def _unseen(port: Port) -> str:
    """Say what must hold of Services, which the webhook does not see."""
    how = f"by its name, {port.name}" if port.name else f"by {names.LISTEN_PORT_NAME}, since it has no name"
    return f"Services must send to port {port.number} {how}; one that sends to its number goes past the enforcer"


def workload_name(pod: Object) -> str:
    """Return the name of what people wrote and the pod is of: its Deployment's, where that made it."""
    metadata = section(pod, "metadata")
    owner = next((one for one in items(metadata, "ownerReferences") if one.get("controller") is True), None)
    if owner is None:
        return identity(pod)[0]
    name = str(owner.get("name"))
    # What Deployments add to the names of their ReplicaSets, and label all pods with.
    hashed = section(metadata, "labels").get("pod-template-hash")
    return name.removesuffix(f"-{hashed}") if owner.get("kind") == "ReplicaSet" and hashed else name
