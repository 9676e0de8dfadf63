"""What runs pods: which objects do, where their pod's template is, and what keeps one from being injected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from enforcer.errors import EnforcerError
from enforcer.kubernetes import names
from enforcer.yamltext.objects import Object, identity, items, section

_TEMPLATE: Final = ("spec", "template")
_KINDS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "Pod"): (),
    ("", "ReplicationController"): _TEMPLATE,
    **{("apps", kind): _TEMPLATE for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")},
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
    ("argoproj.io", "Rollout"): _TEMPLATE,
}
"""API group and kind of what runs pods, and the way to the template of these."""


class Reason(StrEnum):
    """Why a workload is not injected. The values are metric labels of the webhook."""

    DISABLED = "disabled"
    OWNED = "owned"
    NO_PORT = "no_port"
    BAD_SETTING = "bad_setting"
    HOST_NETWORK = "host_network"
    WINDOWS = "windows"
    UDP_ONLY = "udp_only"
    HOST_PORT = "host_port"
    AMBIGUOUS_PORT = "ambiguous_port"
    NUMERIC_TARGET_PORT = "numeric_target_port"
    NEEDS_NATIVE = "needs_native"
    NAME_TAKEN = "name_taken"
    PORT_TAKEN = "port_taken"
    PRIVILEGED_PORT = "privileged_port"
    UNREADABLE = "unreadable"


SKIPPED: Final = {Reason.DISABLED, Reason.OWNED, Reason.NO_PORT}
"""Reasons to leave a workload as it is. For all others it was meant to be injected, and cannot be."""


class NotInjectableError(EnforcerError):
    """A workload that gets no sidecar, and why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Workload:
    """An object that runs pods: what it is called, and the template of its pods, with the way there."""

    kind: str
    name: str
    namespace: str | None
    path: tuple[str, ...]
    template: Object

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its pods."""
        return section(self.template, "metadata", "labels")

    @property
    def spec(self) -> Object:
        """The specification of its pods."""
        return section(self.template, "spec")

    @property
    def ends(self) -> bool:
        """Whether its pods are done at some time, which a classic sidecar would never let them be."""
        restarts = self.spec.get("restartPolicy") or "Always"
        return self.kind in ("Job", "CronJob") or (self.kind == "Pod" and restarts != "Always")


def workload_of(thing: Object) -> Workload | None:
    """Return what an object runs; None if it runs no pods."""
    api_version, kind = thing.get("apiVersion"), thing.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        return None
    group = api_version.rpartition("/")[0]
    path = _KINDS.get((group, kind))
    if path is None:
        return None
    template = thing
    for step in path:
        inner = template.get(step)
        template = inner if isinstance(inner, dict) else {}
    return Workload(kind, *identity(thing), path, template)


def with_template(thing: Object, path: tuple[str, ...], template: Object) -> Object:
    """Return the object with another template."""
    if not path:
        return template
    return {**thing, path[0]: with_template(thing[path[0]], path[1:], template)}


def containers(spec: Object) -> list[Object]:
    """Return the containers that run beside each other, but not ours; init containers that stay are not among them."""
    return [one for one in items(spec, "containers") if one.get("name") != names.CONTAINER]


def check_owner(thing: Object) -> None:
    """Raise NotInjectableError where another object made this one, and would make it anew without the sidecar."""
    for owner in items(section(thing, "metadata"), "ownerReferences"):
        if owner.get("controller"):
            kind, name = str(owner.get("kind")).lower(), owner.get("name")
            raise NotInjectableError(Reason.OWNED, f"it belongs to {kind}/{name}")


def check(workload: Workload) -> None:
    """Raise NotInjectableError where a workload cannot have a sidecar, whatever its ports, or shall have none."""
    _check_labels(workload.labels)
    spec = workload.spec
    lists = [spec.get(key) or [] for key in ("containers", "initContainers", "volumes")]
    if not lists[0] or not all(isinstance(one, list) and all(isinstance(each, dict) for each in one) for one in lists):
        raise NotInjectableError(Reason.UNREADABLE, "there are no containers where its pods' should be")
    if spec.get("hostNetwork") is True:
        message = "hostNetwork: its ports are the node's, which nothing in the pod can close"
        raise NotInjectableError(Reason.HOST_NETWORK, message)
    if _is_windows(spec):
        raise NotInjectableError(Reason.WINDOWS, "it runs on Windows, for which there is no image")
    for kind, key in (("container", "containers"), ("container", "initContainers"), ("volume", "volumes")):
        for one in items(spec, key):
            if one.get("name") in names.OURS:
                message = f"its pods have a {kind} called {one['name']} that was not injected; rename it"
                raise NotInjectableError(Reason.NAME_TAKEN, message)


def _check_labels(labels: Mapping[str, Any]) -> None:
    for name in labels:
        if name.startswith(names.PREFIX) and name not in (names.INJECT, names.INJECTED):
            raise NotInjectableError(Reason.BAD_SETTING, f"no label is called {name}; {names.INJECT} is one")
    wanted = labels.get(names.INJECT, "enabled")
    if wanted == "disabled":
        raise NotInjectableError(Reason.DISABLED, f"its pods are labelled {names.INJECT}: disabled")
    if wanted != "enabled":
        raise NotInjectableError(Reason.BAD_SETTING, f"label {names.INJECT}: expected enabled or disabled")


def _is_windows(spec: Object) -> bool:
    return section(spec, "os").get("name") == "windows" or "windows" in (
        section(spec, "nodeSelector").get("kubernetes.io/os"),
        section(spec, "nodeSelector").get("beta.kubernetes.io/os"),
    )
