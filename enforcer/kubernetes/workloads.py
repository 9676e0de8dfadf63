"""Workloads: the objects that run pods, where their pod template is, and what prevents an injection."""

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
"""API group and kind of each workload, and the path of its pod template."""

_EVERY_POD: Final = frozenset({"topology.kubernetes.io/zone", "topology.kubernetes.io/region"})
_ADDED_LABELS: Final[Mapping[str, frozenset[str]]] = {
    "Pod": frozenset(),
    "ReplicaSet": frozenset(),
    "ReplicationController": frozenset(),
    "Deployment": frozenset({"pod-template-hash"}),
    "Rollout": frozenset({"rollouts-pod-template-hash"}),
    "DaemonSet": frozenset({"controller-revision-hash", "pod-template-generation"}),
    "StatefulSet": frozenset(
        {"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "controller-revision-hash"}
    ),
    "DeploymentConfig": frozenset({"deployment", "deploymentconfig"}),
    **dict.fromkeys(
        ("Job", "CronJob"),
        frozenset(
            {"controller-uid", "job-name"}
            | {f"batch.kubernetes.io/{name}" for name in ("controller-uid", "job-name", "job-completion-index")}
        ),
    ),
}
"""Names of the labels that the controller of each kind adds to pods, besides those of the template."""
_ANY_ADDED_LABEL: Final = frozenset[str]().union(*_ADDED_LABELS.values())


class Reason(StrEnum):
    """The reason why a workload is not injected. The values are metric labels of the webhook."""

    DISABLED = "disabled"
    OWNED = "owned"
    PRESENT = "present"
    NO_PORT = "no_port"
    BAD_SETTING = "bad_setting"
    HOST_NETWORK = "host_network"
    WINDOWS = "windows"
    STATIC_POD = "static_pod"
    UDP_ONLY = "udp_only"
    HOST_PORT = "host_port"
    AMBIGUOUS_PORT = "ambiguous_port"
    NOT_HTTP = "not_http"
    API_SERVER = "api_server"
    NUMERIC_TARGET_PORT = "numeric_target_port"
    NEEDS_NATIVE = "needs_native"
    NAME_TAKEN = "name_taken"
    PORT_TAKEN = "port_taken"
    PRIVILEGED_PORT = "privileged_port"
    UNREADABLE = "unreadable"


NO_HTTP: Final = (Reason.UDP_ONLY, Reason.NOT_HTTP, Reason.API_SERVER)
"""Reasons for which a workload has nothing to protect: it serves something, but no HTTP that clients request."""
SKIPPED: Final = frozenset({Reason.DISABLED, Reason.OWNED, Reason.PRESENT, Reason.NO_PORT, *NO_HTTP})
"""Reasons for which a workload need not be injected. All others prevent an injection that was wanted."""


class NotInjectableError(EnforcerError):
    """A workload that is not injected, with the reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Workload:
    """An object that runs pods: its identity, its pod template, and the path of the template in the object."""

    kind: str
    name: str
    namespace: str | None
    path: tuple[str, ...]
    template: Object

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the pods."""
        return section(self.template, "metadata", "labels")

    @property
    def added_labels(self) -> frozenset[str]:
        """Names of labels that pods may have besides those of the template, with values that are not known."""
        return _EVERY_POD | _ADDED_LABELS.get(self.kind, _ANY_ADDED_LABEL)

    @property
    def spec(self) -> Object:
        """The specification of the pods."""
        return section(self.template, "spec")

    @property
    def ends(self) -> bool:
        """True if the pods run to completion, which a classic sidecar would prevent."""
        restart_policy = self.spec.get("restartPolicy") or "Always"
        return self.kind in ("Job", "CronJob") or (self.kind == "Pod" and restart_policy != "Always")


def workload_of(obj: Object) -> Workload | None:
    """Return the workload of an object; None if it runs no pods."""
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        return None
    group = api_version.rpartition("/")[0]
    path = _KINDS.get((group, kind))
    if path is None:
        return None
    template = obj
    for step in path:
        inner = template.get(step)
        template = inner if isinstance(inner, dict) else {}
    return Workload(kind, *identity(obj), path, template)


def with_template(obj: Object, path: tuple[str, ...], template: Object) -> Object:
    """Return the object with another pod template."""
    if not path:
        return template
    return {**obj, path[0]: with_template(obj[path[0]], path[1:], template)}


def containers(spec: Object) -> list[Object]:
    """Return the app's containers: neither ours nor init containers, native sidecars included."""
    return [container for container in items(spec, "containers") if container.get("name") != names.CONTAINER]


def all_containers(spec: Object) -> list[Object]:
    """Return every container, with ours and the init containers."""
    return [*items(spec, "containers"), *items(spec, "initContainers")]


def check_owner(obj: Object) -> None:
    """Raise NotInjectableError if a controller owns the object: it would create it again without the sidecar."""
    for owner in items(section(obj, "metadata"), "ownerReferences"):
        if owner.get("controller"):
            kind, name = str(owner.get("kind")).lower(), owner.get("name")
            raise NotInjectableError(Reason.OWNED, f"it is owned by {kind}/{name}")


def check(workload: Workload) -> None:
    """Raise NotInjectableError if a workload must not or cannot have a sidecar, whatever its ports."""
    _check_labels(workload.labels)
    spec = workload.spec
    lists = [spec.get(key) or [] for key in ("containers", "initContainers", "volumes")]
    if not lists[0] or not all(
        isinstance(part, list) and all(isinstance(item, dict) for item in part) for part in lists
    ):
        raise NotInjectableError(Reason.UNREADABLE, "its pod template has no readable list of containers")
    if _MIRROR in section(workload.template, "metadata", "annotations"):
        message = (
            "the kubelet runs this static pod from a file on its node, whatever the API server changes in its mirror"
        )
        raise NotInjectableError(Reason.STATIC_POD, message)
    if spec.get("hostNetwork") is True:
        message = "hostNetwork: its ports are open on the node, and nothing in the pod can close them"
        raise NotInjectableError(Reason.HOST_NETWORK, message)
    if _is_windows(spec):
        raise NotInjectableError(Reason.WINDOWS, "it runs on Windows, and there is no Windows image of the enforcer")
    for kind, parts in (("container", all_containers(spec)), ("volume", items(spec, "volumes"))):
        if taken := [part["name"] for part in parts if part.get("name") in names.OURS]:
            message = f"its pods have a {kind} called {taken[0]} that was not injected; rename it"
            raise NotInjectableError(Reason.NAME_TAKEN, message)


_MIRROR: Final = "kubernetes.io/config.mirror"
"""Annotation of the object with which the kubelet shows a static pod."""


def _check_labels(labels: Mapping[str, Any]) -> None:
    for name in labels:
        if name.startswith(names.PREFIX) and name not in (names.INJECT, names.INJECTED):
            raise NotInjectableError(Reason.BAD_SETTING, f"unknown label {name}; known: {names.INJECT}")
    value = labels.get(names.INJECT, "enabled")
    if value == "disabled":
        raise NotInjectableError(Reason.DISABLED, f"its pods are labelled {names.INJECT}: disabled")
    if value != "enabled":
        raise NotInjectableError(Reason.BAD_SETTING, f"label {names.INJECT}: expected enabled or disabled")


def _requires_windows(term: Object) -> bool:
    """Return whether a term of a node affinity admits nodes with Windows only."""
    expressions = items(term, "matchExpressions")
    return any(
        entry.get("key") in _OS_LABELS and entry.get("operator") == "In" and entry.get("values") == ["windows"]
        for entry in expressions
    )


_OS_LABELS: Final = ("kubernetes.io/os", "beta.kubernetes.io/os")


def _is_windows(spec: Object) -> bool:
    affinity = section(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = items(affinity, "nodeSelectorTerms")
    if terms and all(_requires_windows(term) for term in terms):
        return True
    return section(spec, "os").get("name") == "windows" or "windows" in (
        section(spec, "nodeSelector").get(label) for label in _OS_LABELS
    )
