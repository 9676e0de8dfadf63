"""Objects that run pods, and reasons that prevent an injection."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment

from enforcer.kubernetes.workloads import (
    NotInjectableError,
    Reason,
    Workload,
    check,
    check_owner,
    with_template,
    workload_of,
)


def workload_with(**spec: Any) -> Workload:
    workload = workload_of(deployment(**spec))
    assert workload is not None
    return workload


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("apps/v1", "Deployment", ("spec", "template")),
        ("apps/v1", "StatefulSet", ("spec", "template")),
        ("apps/v1", "DaemonSet", ("spec", "template")),
        ("apps/v1", "ReplicaSet", ("spec", "template")),
        ("v1", "ReplicationController", ("spec", "template")),
        ("batch/v1", "Job", ("spec", "template")),
        ("batch/v1", "CronJob", ("spec", "jobTemplate", "spec", "template")),
        ("argoproj.io/v1alpha1", "Rollout", ("spec", "template")),
        ("v1", "Pod", ()),
    ],
)
def test_a_workload_has_a_pod_template(api_version: str, kind: str, path: tuple[str, ...]) -> None:
    """The template is found at its path, and `with_template` puts it back."""
    pods = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}
    thing: dict[str, Any] = pods
    for step in reversed(path):
        thing = {step: thing, "other": 1}
    thing = {**thing, "apiVersion": api_version, "kind": kind}
    workload = workload_of(thing)
    assert workload is not None
    assert (workload.kind, workload.path, workload.labels) == (kind, path, {"a": "b"})
    assert with_template(thing, path, workload.template) == thing


@pytest.mark.parametrize(
    "thing",
    [
        {},
        {"apiVersion": "v1", "kind": "Service"},
        {"apiVersion": "example.org/v1", "kind": "Deployment"},
        {"apiVersion": 1, "kind": "Pod"},
        {"apiVersion": "v1", "kind": None},
    ],
)
def test_other_kinds_are_not_workloads(thing: dict[str, Any]) -> None:
    """A kind of the same name in another API group is another kind."""
    assert workload_of(thing) is None


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        ({"metadata": {"name": "app"}}, ("app", None)),
        ({"metadata": {"name": "app", "namespace": "web"}}, ("app", "web")),
        ({"metadata": {"generateName": "app-5d8f-"}}, ("app-5d8f", None)),
        ({"metadata": None}, ("", None)),
    ],
)
def test_a_workload_has_the_name_of_its_metadata(thing: dict[str, Any], name: tuple[str, str | None]) -> None:
    """A pod may have no name yet when it is admitted."""
    workload = workload_of({"apiVersion": "v1", "kind": "Pod", **thing})
    assert workload is not None
    assert (workload.name, workload.namespace) == name


@pytest.mark.parametrize(
    ("kind", "policy", "ends"),
    [
        *(("Deployment", None, False), ("Job", "Never", True), ("CronJob", "OnFailure", True)),
        *(("Pod", None, False), ("Pod", "Always", False), ("Pod", "Never", True), ("Pod", "OnFailure", True)),
    ],
)
def test_some_workloads_end(kind: str, policy: str | None, ends: bool) -> None:
    """Jobs, and pods that are not restarted."""
    assert Workload(kind, "a", None, (), {"spec": {"restartPolicy": policy}}).ends is ends


def test_an_ordinary_workload_can_be_injected() -> None:
    """The checks raise no error."""
    check(workload_with(initContainers={}))
    labels = {"enforcer.dev/inject": "enabled", "enforcer.dev/injected": "true"}
    check(Workload("Pod", "a", None, (), {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a"}]}}))
    check_owner(deployment())


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_WINDOWS = {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]}]}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"hostNetwork": True}, Reason.HOST_NETWORK),
        ({"os": {"name": "windows"}}, Reason.WINDOWS),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, Reason.WINDOWS),
        ({"affinity": {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [_WINDOWS]}}}}, Reason.WINDOWS),
        ({"initContainers": [{"name": "enforcer-redirect"}]}, Reason.NAME_TAKEN),
        ({"volumes": [{"name": "enforcer-tmp"}]}, Reason.NAME_TAKEN),
        ({"volumes": ["enforcer-tmp"]}, Reason.UNREADABLE),
        ({"initContainers": {"a": 1}}, Reason.UNREADABLE),
        ({"containers": []}, Reason.UNREADABLE),
        ({"containers": None}, Reason.UNREADABLE),
        ({"containers": [None]}, Reason.UNREADABLE),
    ],
)
def test_a_pod_that_cannot_be_injected_has_a_reason(spec: dict[str, Any], reason: Reason) -> None:
    """Each with a reason, which is also a metric label, and a message."""
    with pytest.raises(NotInjectableError) as refused:
        check(workload_with(**spec))
    assert refused.value.reason is reason
    assert refused.value.detail


def test_another_container_called_enforcer_is_refused() -> None:
    """The message names the container."""
    workload = workload_of(deployment(container(), container("enforcer")))
    assert workload is not None
    with pytest.raises(NotInjectableError, match="a container called enforcer that was not injected"):
        check(workload)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"enforcer.dev/inject": "disabled"}, Reason.DISABLED),
        ({"enforcer.dev/inject": "true"}, Reason.BAD_SETTING),
        ({"enforcer.dev/inject": True}, Reason.BAD_SETTING),
        ({"enforcer.dev/mode": "port"}, Reason.BAD_SETTING),
    ],
)
def test_unknown_labels_and_values_of_ours_are_errors(labels: dict[str, Any], reason: Reason) -> None:
    """A misspelt label or value is an error; otherwise it would be ignored."""
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a"}]}}
    with pytest.raises(NotInjectableError) as refused:
        check(Workload("Pod", "a", None, (), pod))
    assert refused.value.reason is reason


def test_an_object_with_a_controller_is_refused() -> None:
    """The controller would create it again without the sidecar."""
    owner = {"kind": "Deployment", "name": "app", "controller": True}
    with pytest.raises(NotInjectableError, match="it is owned by deployment/app"):
        check_owner({"metadata": {"ownerReferences": [{"kind": "X", "name": "y"}, owner]}})
