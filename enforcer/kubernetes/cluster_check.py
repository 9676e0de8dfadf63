"""Checks a cluster as it is: its pods that want the enforcer, what they need, and the injector's own objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from enforcer.kubernetes import names
from enforcer.kubernetes.selectors import selects_all
from enforcer.kubernetes.verify.enforcers import DEFAULT_COMMAND, command_line, is_enforcer_image
from enforcer.kubernetes.verify.object_set import Assumptions
from enforcer.kubernetes.verify.report import rows
from enforcer.kubernetes.verify.verdicts import Verdict, verify
from enforcer.kubernetes.workloads import all_containers
from enforcer.yamltext.objects import Object, identity, items, section

_ENABLED: Final = "enabled"
_DISABLED: Final = "disabled"
_SYSTEM: Final = "kube-system"
_FINISHED: Final = ("Succeeded", "Failed")


class Result(StrEnum):
    """The result of one check. All verdicts are results, too."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    BARE = "bare"
    """A pod that wants the enforcer and has none."""
    MISSING = "missing"
    """An object that pods or the cluster need, and that does not exist."""
    FAULTY = "faulty"


FAILURES: Final = frozenset({Result.BARE, Result.MISSING, Result.FAULTY, Verdict.OPEN})
"""The results for which a cluster is not as it should be."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check: of a workload or another object, by `kind/name` and the option `-n`."""

    name: str
    result: Result | Verdict
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An object that an enforcer in some pods needs."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The objects of a cluster at one time."""

    objects: Sequence[Object]
    """Namespaces, pods, Services, NetworkPolicies and those of other APIs."""
    needed: Mapping[Reference, Object | bool | None]
    """The objects that enforcers need, or True if one exists; False if it does not, None if that is not known."""
    webhooks: Sequence[Object]
    """The MutatingWebhookConfigurations."""
    policies: Sequence[Object] | None
    """The ValidatingAdmissionPolicies and their bindings; None if the cluster has no such kinds."""


def wanting(objects: Sequence[Object], images: Collection[str]) -> list[Object]:
    """Return the running pods that have the enforcer, or that want it by their label or by that of their namespace."""
    labelled = {identity(obj)[0] for obj in objects if obj.get("kind") == "Namespace" and _is_labelled(obj)} - {_SYSTEM}
    return [pod for pod in objects if _is_running(pod) and (_asks(pod, labelled) or _enforcers(pod, images))]


def _is_running(obj: Object) -> bool:
    return obj.get("kind") == "Pod" and section(obj, "status").get("phase") not in _FINISHED


def _asks(pod: Object, labelled: Collection[str]) -> bool:
    labels = section(pod, "metadata", "labels")
    if names.INJECTED in labels:
        return True
    return _is_labelled(pod) if names.INJECT in labels else identity(pod)[1] in labelled


def _is_labelled(obj: Object) -> bool:
    """Return whether the webhook selects an object by its label: with any value but the one that excludes it."""
    return section(obj, "metadata", "labels").get(names.INJECT) not in (None, _DISABLED)


def _enforcers(pod: Object, images: Collection[str]) -> list[Object]:
    """Return the containers of a pod that have an image of the enforcer, and run it as a proxy."""
    containers = all_containers(section(pod, "spec"))
    return [container for container in containers if _runs(container, images, "run")]


def _runs(container: Object, images: Collection[str], command: str) -> bool:
    words = command_line(container) or [*DEFAULT_COMMAND]
    return is_enforcer_image(container.get("image"), images) and words[1:2] == [command]


def references(pods: Sequence[Object], images: Collection[str]) -> list[Reference]:
    """Return the ConfigMaps and Secrets that the enforcers in pods need, each once: mounted, or for variables."""
    needed: dict[Reference, None] = {}
    for pod in pods:
        volumes = {str(volume.get("name")): volume for volume in items(section(pod, "spec"), "volumes")}
        for kind, source in (pair for each in _enforcers(pod, images) for pair in _sources(each, volumes)):
            name = source.get("name") or source.get("secretName")
            if isinstance(name, str) and not source.get("optional"):
                needed[Reference(kind=kind, namespace=identity(pod)[1] or "", name=name)] = None
    return list(needed)


def _sources(container: Object, volumes: Mapping[str, Object]) -> Iterator[tuple[str, Object]]:
    """Yield the sources of a container's files and variables, with the kind of the object that each names."""
    mounted = [volumes.get(str(mount.get("name")), {}) for mount in items(container, "volumeMounts")]
    for volume in mounted:
        for source in (volume, *items(section(volume, "projected"), "sources")):
            yield from (("ConfigMap", section(source, "configMap")), ("Secret", section(source, "secret")))
    for source in items(container, "envFrom"):
        yield from (("ConfigMap", section(source, "configMapRef")), ("Secret", section(source, "secretRef")))
    for source in (section(entry, "valueFrom") for entry in items(container, "env")):
        yield from (("ConfigMap", section(source, "configMapKeyRef")), ("Secret", section(source, "secretKeyRef")))


def check(snapshot: Snapshot, assumptions: Assumptions) -> list[Check]:
    """Check a cluster; the results are in the order of the namespaces, then of the cluster's own objects."""
    pods = wanting(snapshot.objects, assumptions.images)
    return [
        *_pods(snapshot, pods, assumptions),
        *_labels(snapshot.objects),
        *_needed(snapshot.needed),
        *_versions(pods, snapshot.objects, assumptions.images),
        *_webhook(snapshot),
        *_admission_policy(snapshot.policies),
    ]


def _pods(snapshot: Snapshot, pods: Sequence[Object], assumptions: Assumptions) -> Iterator[Check]:
    """Yield the findings on pods, once for the pods of each workload."""
    configs = [obj for obj in snapshot.needed.values() if isinstance(obj, dict)]
    objects = [*(obj for obj in snapshot.objects if obj.get("kind") != "Pod" or _is_running(obj)), *configs]
    wanted = {id(pod) for pod in pods}
    checks: Counter[Check] = Counter()
    for finding in verify(objects, assumptions):
        pod = objects[finding.index]
        if id(pod) not in wanted:
            continue
        name = owner(pod)
        skipped = section(pod, "metadata", "annotations").get(names.SKIPPED)
        # The webhook injects or denies a pod with a label of its own, and never skips it.
        by_namespace = names.INJECT not in section(pod, "metadata", "labels")
        if not _enforcers(pod, assumptions.images) and skipped is not None and by_namespace:
            checks[Check(name, Verdict.EXCLUDED, f"skipped by the webhook: {skipped}")] += 1
            continue
        if not finding.protected and not _enforcers(pod, assumptions.images):
            checks[Check(name, Result.BARE, "it wants the enforcer, and runs without: replace its pods")] += 1
        for result, detail in rows(finding):
            checks[Check(name, Verdict(result) if result in tuple(Verdict) else Result(result), detail)] += 1
    for each, number in checks.items():
        yield Check(each.name, each.result, f"{each.detail} ({number} pods)" if number > 1 else each.detail)


def _labels(objects: Sequence[Object]) -> Iterator[Check]:
    """Yield the namespaces whose label has a value that the webhook does not know."""
    for obj in objects:
        value = section(obj, "metadata", "labels").get(names.INJECT)
        if obj.get("kind") == "Namespace" and value not in (None, _ENABLED, _DISABLED):
            detail = f"label {names.INJECT}: expected {_ENABLED} or {_DISABLED}, found {value}; its pods are denied"
            yield Check(f"namespace/{identity(obj)[0]}", Result.FAULTY, detail)


def owner(pod: Object) -> str:
    """Return the name of the workload that a pod belongs to, as kubectl accepts it."""
    metadata = section(pod, "metadata")
    name, namespace = identity(pod)
    called = f"pod/{name}"
    for reference in items(metadata, "ownerReferences"):
        if reference.get("controller") is True:
            kind, of = str(reference.get("kind")), str(reference.get("name"))
            hashed = section(metadata, "labels").get("pod-template-hash")
            if kind == "ReplicaSet" and hashed and of.endswith(f"-{hashed}"):
                kind, of = "Deployment", of.removesuffix(f"-{hashed}")
            called = f"{kind.lower()}/{of}"
    return f"{called} -n {namespace}"


def _needed(needed: Mapping[Reference, Object | bool | None]) -> Iterator[Check]:
    for reference, state in needed.items():
        name = f"{reference.kind.lower()}/{reference.name} -n {reference.namespace}"
        if state is False:
            yield Check(name, Result.MISSING, "an enforcer needs it, and its pods cannot start")
        elif state is None:
            yield Check(name, Result.NOTE, "an enforcer needs it; whether it exists cannot be read")


def _versions(pods: Sequence[Object], objects: Sequence[Object], images: Collection[str]) -> Iterator[Check]:
    used = Counter(str(each["image"]) for pod in pods for each in _enforcers(pod, images))
    for pod in filter(_is_running, objects):
        containers = all_containers(section(pod, "spec"))
        used.update(str(each["image"]) for each in containers if _runs(each, images, "webhook"))
    if len(used) > 1:
        listed = ", ".join(f"{image} ({number})" for image, number in used.most_common())
        yield Check("enforcers", Result.WARNING, f"they have different images: {listed}")


def _webhook(snapshot: Snapshot) -> Iterator[Check]:
    webhooks = [
        (identity(configuration)[0], webhook)
        for configuration in snapshot.webhooks
        for webhook in items(configuration, "webhooks")
        if names.INJECT in _selected_labels(webhook)
    ]
    if not webhooks:
        yield from _without_webhook(snapshot.objects)
    for configuration, webhook in webhooks:
        name = f"mutatingwebhookconfiguration/{configuration}"
        faults = [*_webhook_faults(webhook, snapshot.objects)]
        yield from (Check(name, Result.FAULTY, f"{webhook.get('name')}: {fault}") for fault in faults)
        if not faults:
            yield Check(name, Result.OK, f"{webhook.get('name')} is in force")


def _without_webhook(objects: Sequence[Object]) -> Iterator[Check]:
    labelled = [obj for obj in objects if _is_labelled(obj)]
    if labelled:
        detail = f"no webhook injects pods, and {len(labelled)} namespaces and pods are labelled {names.INJECT}"
        yield Check("webhook", Result.MISSING, detail)


def _selected_labels(value: Object) -> set[Any]:
    """Return the labels that the selectors of a webhook or an admission policy look at."""
    selectors = [section(value, key) for key in ("objectSelector", "namespaceSelector")]
    expressions = [entry.get("key") for selector in selectors for entry in items(selector, "matchExpressions")]
    return {*expressions, *(name for selector in selectors for name in section(selector, "matchLabels"))}


def _webhook_faults(webhook: Object, objects: Sequence[Object]) -> Iterator[str]:
    client = section(webhook, "clientConfig")
    if webhook.get("failurePolicy", "Fail") != "Fail":
        yield f"failurePolicy {webhook['failurePolicy']}: while it does not respond, pods start without the enforcer"
    if not client.get("caBundle"):
        yield "it has no caBundle, so no API server can call it"
    target = section(client, "service")
    name, namespace = target.get("name"), target.get("namespace")
    if not target:
        return
    service = next(
        (obj for obj in objects if obj.get("kind") == "Service" and identity(obj) == (name, namespace)), None
    )
    if service is None:
        yield f"service/{name} -n {namespace} does not exist"
        return
    selector = section(service, "spec", "selector")
    pods = [obj for obj in objects if obj.get("kind") == "Pod" and identity(obj)[1] == namespace]
    behind = [pod for pod in pods if selector and selects_all(selector, section(pod, "metadata", "labels"))]
    if selector and not any(map(_is_ready, behind)):
        yield f"no pod behind service/{name} -n {namespace} is ready"


def _is_ready(pod: Object) -> bool:
    conditions = items(section(pod, "status"), "conditions")
    return any((condition.get("type"), condition.get("status")) == ("Ready", "True") for condition in conditions)


def _admission_policy(policies: Sequence[Object] | None) -> Iterator[Check]:
    if policies is None:
        yield Check("admission policy", Result.NOTE, "the cluster has no ValidatingAdmissionPolicies (Kubernetes 1.30)")
        return
    ours = {
        identity(obj)[0]
        for obj in policies
        if obj.get("kind") == "ValidatingAdmissionPolicy"
        and names.INJECT in _selected_labels(section(obj, "spec", "matchConstraints"))
    }
    bound = {
        section(obj, "spec").get("policyName")
        for obj in policies
        if obj.get("kind") == "ValidatingAdmissionPolicyBinding"
        and "Deny" in (section(obj, "spec").get("validationActions") or ())
    }
    for name in sorted(ours):
        called = f"validatingadmissionpolicy/{name}"
        if name in bound:
            yield Check(called, Result.OK, "it is in force")
        else:
            yield Check(called, Result.FAULTY, "no binding makes it deny pods")
    if not ours:
        yield Check("admission policy", Result.WARNING, "none denies labelled pods without an enforcer")
