"""The webhook's decision on a pod: injected, skipped or denied."""

import copy
import re
from typing import Any

import pytest
from harness.kubernetes import podsecurity, schemas

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.pod.pod_template import Context, Version
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.webhook.admission import OUTCOMES, Admission, AdmissionReason, Result, workload_name
from enforcer.kubernetes.workloads import Reason


def admission(version: Version = (1, 34)) -> Admission:
    context = Context(version=version, package="1", by="webhook")
    return Admission(settings=Settings(image="token-enforcer:1"), context=context)


ADMISSION = admission()
ENABLED = {names.INJECT: "enabled"}
PLAIN: dict[str, Any] = {"metadata": {"name": "apps"}}
WHOLE: dict[str, Any] = {"metadata": {"name": "apps", "labels": ENABLED}}


def pod(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Return the pod of a Deployment as an API server submits it."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-5d8f", "uid": "1", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "app-5d8f-",
            "labels": {"app": "app", "pod-template-hash": "5d8f", **(labels or {})},
            "annotations": annotations or {},
            "ownerReferences": [owner],
        },
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "app",
                    "image": "app:1",
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "securityContext": {
                        "runAsUser": 1000,
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            **spec,
        },
    }


def test_a_labelled_pod_gets_the_sidecar() -> None:
    """The result is a strictly valid pod that meets the level `restricted`."""
    decision = ADMISSION.decide(pod(ENABLED), PLAIN)
    assert (decision.result, decision.reason) == (Result.INJECTED, AdmissionReason.OK)
    assert decision.pod is not None
    assert [container["name"] for container in decision.pod["spec"]["initContainers"]] == [names.CONTAINER]
    created = {**decision.pod, "metadata": {**decision.pod["metadata"], "name": "app-5d8f-x"}}
    assert list(schemas.violations(created)) == []
    assert list(podsecurity.violations(created)) == []


LABELS: dict[str, tuple[str | None, str | None, Result, Reason | AdmissionReason]] = {
    "no label": (None, None, Result.SKIPPED, AdmissionReason.NOT_WANTED),
    "only the namespace": (None, "enabled", Result.INJECTED, AdmissionReason.OK),
    "the namespace, disabled by the pod": ("disabled", "enabled", Result.SKIPPED, Reason.DISABLED),
    "the pod, disabled by the namespace": ("enabled", "disabled", Result.INJECTED, AdmissionReason.OK),
    "an unknown value of the pod": ("yes", None, Result.DENIED, Reason.BAD_SETTING),
    "an empty value of the pod": ("", None, Result.DENIED, Reason.BAD_SETTING),
    "an unknown value of the namespace": (None, "true", Result.DENIED, Reason.BAD_SETTING),
}


@pytest.mark.parametrize(("of_pod", "of_namespace", "result", "reason"), LABELS.values(), ids=LABELS)
def test_the_pods_label_overrides_the_namespaces(
    of_pod: str | None, of_namespace: str | None, result: Result, reason: Reason | AdmissionReason
) -> None:
    """An unknown value is an error: it does not mean `disabled`."""
    labels = {} if of_pod is None else {names.INJECT: of_pod}
    namespace = {"metadata": {"labels": {} if of_namespace is None else {names.INJECT: of_namespace}}}
    decision = ADMISSION.decide(pod(labels), namespace)
    assert (decision.result, decision.reason) == (result, reason)


def test_a_skipped_pod_stays_unchanged() -> None:
    """Its labels, annotations and specification."""
    decision = ADMISSION.decide(pod(), PLAIN)
    assert decision.pod == pod()


def test_a_labelled_pod_without_a_port_is_denied() -> None:
    """Its label says that it must be protected."""
    decision = ADMISSION.decide(pod(ENABLED, containers=[{"name": "app", "image": "app:1"}]), PLAIN)
    assert (decision.result, decision.reason, decision.pod) == (Result.DENIED, Reason.NO_PORT, None)


def test_a_pod_without_a_port_in_a_labelled_namespace_is_skipped() -> None:
    """It has nothing to protect. Only an annotation is added, for which the admission policy admits it."""
    portless = pod(containers=[{"name": "app", "image": "app:1"}])
    decision = ADMISSION.decide(portless, WHOLE)
    assert (decision.result, decision.reason) == (Result.SKIPPED, Reason.NO_PORT)
    portless["metadata"]["annotations"] = {names.SKIPPED: "no_port"}
    assert decision.pod == portless
    assert ADMISSION.decide(portless, WHOLE) == decision


DENIED: dict[str, tuple[dict[str, str], dict[str, Any], Reason, str]] = {
    "an unknown annotation": ({"enforcer.dev/mod": "port"}, {}, Reason.BAD_SETTING, 'did you mean "enforcer.dev/mode"'),
    "an invalid value": (
        {"enforcer.dev/mode": "proxy"},
        {},
        Reason.BAD_SETTING,
        "expected port, loopback, transparent",
    ),
    "two unknown annotations": (
        {"enforcer.dev/a": "", "enforcer.dev/b": ""},
        {},
        Reason.BAD_SETTING,
        "enforcer.dev/a .*enforcer.dev/b ",
    ),
    "an unknown port": ({"enforcer.dev/port": "web"}, {}, Reason.BAD_SETTING, "no TCP port is called web"),
    "the node's network": ({}, {"hostNetwork": True}, Reason.HOST_NETWORK, "hostNetwork"),
    "Windows": ({}, {"os": {"name": "windows"}}, Reason.WINDOWS, "Windows"),
    "a mirror of a static pod": (
        {"kubernetes.io/config.mirror": "1"},
        {},
        Reason.STATIC_POD,
        "the kubelet runs this static pod from a file",
    ),
    "a patch that does not fit": (
        {"enforcer.dev/container-patch": '[{"op": "remove", "path": "/x"}]'},
        {},
        Reason.BAD_SETTING,
        "container-patch",
    ),
    "a patch that renames": (
        {"enforcer.dev/container-patch": '[{"op": "replace", "path": "/name", "value": "x"}]'},
        {},
        Reason.BAD_SETTING,
        "pods may not set it",
    ),
    "report mode": ({"enforcer.dev/config": "{mode: report}"}, {}, Reason.BAD_SETTING, "pods may not set report mode"),
}


@pytest.mark.parametrize(("annotations", "spec", "reason", "pattern"), DENIED.values(), ids=DENIED)
@pytest.mark.parametrize("namespace", [PLAIN, WHOLE], ids=["pod", "namespace"])
def test_a_pod_that_cannot_be_injected_is_denied(
    annotations: dict[str, str], spec: dict[str, Any], reason: Reason, pattern: str, namespace: dict[str, Any]
) -> None:
    """Whether the label is the pod's or the namespace's: no pod starts unprotected because of an invalid setting."""
    labels = {} if namespace is WHOLE else ENABLED
    decision = ADMISSION.decide(pod(labels, annotations, **spec), namespace)
    assert (decision.result, decision.reason, decision.pod) == (Result.DENIED, reason, None)
    assert re.search(pattern, decision.message)


def test_annotations_of_a_pod_override_those_of_its_namespace() -> None:
    """Each annotation separately."""
    namespace = {
        "metadata": {"annotations": {"enforcer.dev/policy": "shared/rules.yaml", "enforcer.dev/log-level": "debug"}}
    }
    decision = ADMISSION.decide(pod(ENABLED, {"enforcer.dev/log-level": "error"}), namespace)
    assert decision.pod is not None
    (sidecar,) = decision.pod["spec"]["initContainers"]
    assert sidecar["args"][1] == "/etc/enforcer/rules.yaml"
    assert "--set=log.level=error" in sidecar["args"]
    assert {"name": names.POLICY_VOLUME, "configMap": {"name": "shared"}} in decision.pod["spec"]["volumes"]


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({"enforcer.dev/polcy": "shared"}, "enforcer.dev/polcy is unknown"),
        ({"enforcer.dev/container-patch": '[{"op": "replace", "path": "/name", "value": "x"}]'}, "called enforcer"),
    ],
)
def test_an_invalid_annotation_of_the_namespace_is_a_denial(annotations: dict[str, str], message: str) -> None:
    """It affects every pod there. No annotation is locked for a namespace."""
    decision = ADMISSION.decide(pod(ENABLED), {"metadata": {"annotations": annotations}})
    assert (decision.result, decision.reason) == (Result.DENIED, Reason.BAD_SETTING)
    assert message in decision.message


def test_a_second_review_changes_nothing() -> None:
    """If another webhook changes the pod, the API server sends a second review."""
    once = ADMISSION.decide(pod(ENABLED), PLAIN).pod
    assert once is not None
    assert ADMISSION.decide(copy.deepcopy(once), PLAIN).pod == once
    more = {"name": "mesh", "image": "mesh:1"}
    changed = {**once, "spec": {**once["spec"], "containers": [*once["spec"]["containers"], more]}}
    again = ADMISSION.decide(copy.deepcopy(changed), PLAIN)
    assert again.pod == changed


def test_a_container_with_the_sidecars_name_is_denied() -> None:
    """It is not a sidecar, and a pod cannot have two containers of one name."""
    impostor = {"name": names.CONTAINER, "image": "anything"}
    containers = pod()["spec"]["containers"]
    decision = ADMISSION.decide(pod(ENABLED, containers=[*containers, impostor]), PLAIN)
    assert (decision.result, decision.reason) == (Result.DENIED, Reason.NAME_TAKEN)


def test_a_sidecar_of_a_chart_has_no_variables_of_other_objects() -> None:
    """One of them may be LD_PRELOAD, which would put another program in the enforcer's place."""
    made = ADMISSION.decide(pod(ENABLED, {"enforcer.dev/mode": "loopback"}), PLAIN).pod
    assert made is not None
    del made["metadata"]["annotations"][names.STATUS]
    assert ADMISSION.decide(made, PLAIN).reason is Reason.PRESENT
    (sidecar,) = (each for each in made["spec"]["initContainers"] if each["name"] == names.CONTAINER)
    sidecar["envFrom"] = [{"secretRef": {"name": "app"}}]
    decision = ADMISSION.decide(made, PLAIN)
    assert (decision.result, decision.reason) == (Result.DENIED, Reason.NAME_TAKEN)


def test_mode_port_warns_about_bypasses() -> None:
    """Services that use the port's number, and clients that use the pod's address."""
    warnings = ADMISSION.decide(pod(ENABLED), PLAIN).warnings
    assert warnings[0].startswith("clients can bypass the enforcer: TCP port app-http 8080 of app is open by the pods'")
    assert 'Services must use targetPort "http"; one that uses the number 8080 bypasses' in warnings[-1]
    unnamed = [{"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}]
    warnings = ADMISSION.decide(pod(ENABLED, containers=unnamed), PLAIN).warnings
    assert 'Services must use targetPort "enforcer-proxy"' in warnings[-1]
    assert ADMISSION.decide(pod(ENABLED, {"enforcer.dev/mode": "loopback"}), PLAIN).warnings == ()


@pytest.mark.parametrize(("version", "native"), [((1, 31), False), ((1, 32), True)])
def test_the_version_of_the_cluster_selects_the_kind_of_sidecar(version: tuple[int, int], native: bool) -> None:
    """Services resolve port names of native sidecars since 1.32."""
    decision = admission(version).decide(pod(ENABLED), PLAIN)
    assert decision.pod is not None
    key = "initContainers" if native else "containers"
    assert decision.pod["spec"][key][0]["name"] == names.CONTAINER


def test_a_cluster_without_hooks_that_sleep_is_a_warning() -> None:
    """Kubernetes 1.29 drops the hook that keeps the app running until Services send it no more requests."""
    loopback = {"enforcer.dev/mode": "loopback"}
    (warning,) = (
        text for text in admission((1, 29)).decide(pod(ENABLED, loopback), PLAIN).warnings if "preStop" in text
    )
    assert warning.startswith("before Kubernetes 1.30 a preStop hook cannot sleep")
    assert admission((1, 30)).decide(pod(ENABLED, loopback), PLAIN).warnings == ()
    own = pod(ENABLED, loopback)
    own["spec"]["containers"][0]["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", "7"]}}}
    assert admission((1, 29)).decide(own, PLAIN).warnings == ()


def test_a_pod_that_ends_needs_a_native_sidecar() -> None:
    """A classic sidecar would keep a Job's pod running forever."""
    decision = admission((1, 28)).decide(pod(ENABLED, restartPolicy="Never"), PLAIN)
    assert (decision.result, decision.reason) == (Result.DENIED, Reason.NEEDS_NATIVE)


NAMES = {
    "a Deployment's pod": ({"kind": "ReplicaSet", "name": "app-5d8f"}, {"pod-template-hash": "5d8f"}, "app"),
    "a Rollout's pod": ({"kind": "ReplicaSet", "name": "app-5d8f"}, {"rollouts-pod-template-hash": "5d8f"}, "app"),
    "a CronJob's pod": ({"kind": "Job", "name": "report-29384756"}, {}, "report"),
    "a Job's pod": ({"kind": "Job", "name": "report-2"}, {}, "report-2"),
    "a ReplicaSet's pod": ({"kind": "ReplicaSet", "name": "app"}, {}, "app"),
    "a StatefulSet's pod": ({"kind": "StatefulSet", "name": "store"}, {"pod-template-hash": "x"}, "store"),
}


@pytest.mark.parametrize(("owner", "labels", "name"), NAMES.values(), ids=NAMES)
def test_a_pod_has_the_name_of_its_workload(owner: dict[str, str], labels: dict[str, str], name: str) -> None:
    """The default name of its policy is derived from it, as in `enforcer inject`."""
    references = [{"kind": "Other", "name": "other"}, {**owner, "controller": True}]
    assert workload_name({"metadata": {"labels": labels, "ownerReferences": references}}) == name


def test_a_pod_without_an_owner_has_its_own_name() -> None:
    """Or the prefix of its generated name."""
    assert workload_name({"metadata": {"name": "debug"}}) == "debug"
    assert workload_name({"metadata": {"generateName": "debug-"}}) == "debug"


def test_every_result_has_its_reasons() -> None:
    """They are the label sets of a metric."""
    assert set(OUTCOMES) == set(Result)
    assert Reason.DISABLED not in OUTCOMES[Result.DENIED]


@pytest.mark.parametrize(("port", "reason"), [("redis", Reason.NOT_HTTP), ("https-webhook", Reason.API_SERVER)])
def test_a_labelled_namespace_leaves_databases_alone(port: str, reason: Reason) -> None:
    """The message, which becomes an Event, says so. A pod with the label itself is denied."""
    ports = [{"name": port, "containerPort": 8080}]
    containers = [{"name": "app", "image": "app:1", "ports": ports}]
    decision = ADMISSION.decide(pod(containers=containers), WHOLE)
    assert decision.reason is reason
    assert decision.result is Result.SKIPPED
    if decision.pod is not None:
        assert decision.pod["spec"] == pod(containers=containers)["spec"]
        assert decision.message.startswith("left alone, because it serves no HTTP")
    assert ADMISSION.decide(pod(ENABLED, containers=containers), PLAIN).result is Result.DENIED
