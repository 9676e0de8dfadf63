import copy
import re
from typing import Any

import pytest
from harness.kubernetes import podsecurity, schemas

from enforcer.kubernetes import names
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.webhook.admission import OUTCOMES, Admission, AdmissionReason, Result, workload_name
from enforcer.kubernetes.workloads import Reason

ADMISSION = Admission(settings=Settings(image="token-enforcer:1"), version=(1, 34), package="1")
ENABLED = {names.INJECT: "enabled"}
PLAIN: dict[str, Any] = {"metadata": {"name": "apps"}}
WHOLE: dict[str, Any] = {"metadata": {"name": "apps", "labels": ENABLED}}


def pod(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Make the pod of a Deployment, as it comes to be created."""
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


def test_who_asks_by_a_label_gets_the_sidecar() -> None:
    """The result is a strictly valid pod that meets the level `restricted`."""
    verdict = ADMISSION.decide(pod(ENABLED), PLAIN)
    assert (verdict.result, verdict.reason) == (Result.INJECTED, AdmissionReason.OK)
    assert verdict.pod is not None
    assert [one["name"] for one in verdict.pod["spec"]["initContainers"]] == [names.CONTAINER]
    created = {**verdict.pod, "metadata": {**verdict.pod["metadata"], "name": "app-5d8f-x"}}
    assert list(schemas.violations(created)) == []
    assert list(podsecurity.violations(created)) == []


LABELS: dict[str, tuple[str | None, str | None, Result, Reason | AdmissionReason]] = {
    "nobody": (None, None, Result.SKIPPED, AdmissionReason.NOT_WANTED),
    "the namespace": (None, "enabled", Result.INJECTED, AdmissionReason.OK),
    "the namespace, but not the pod": ("disabled", "enabled", Result.SKIPPED, Reason.DISABLED),
    "the pod, but not the namespace": ("enabled", "disabled", Result.INJECTED, AdmissionReason.OK),
    "the pod, in a word of its own": ("yes", None, Result.DENIED, Reason.BAD_SETTING),
    "the pod, in no word": ("", None, Result.DENIED, Reason.BAD_SETTING),
    "the namespace, in a word of its own": (None, "true", Result.DENIED, Reason.BAD_SETTING),
}


@pytest.mark.parametrize(("of_pod", "of_namespace", "result", "reason"), LABELS.values(), ids=LABELS)
def test_the_pod_has_the_last_word(
    of_pod: str | None, of_namespace: str | None, result: Result, reason: Reason | AdmissionReason
) -> None:
    """An unknown value does not mean `disabled`."""
    labels = {} if of_pod is None else {names.INJECT: of_pod}
    namespace = {"metadata": {"labels": {} if of_namespace is None else {names.INJECT: of_namespace}}}
    verdict = ADMISSION.decide(pod(labels), namespace)
    assert (verdict.result, verdict.reason) == (result, reason)


def test_what_is_not_injected_stays_as_it_is() -> None:
    """To the letter."""
    verdict = ADMISSION.decide(pod(), PLAIN)
    assert verdict.pod == pod()


def test_a_pod_that_asked_and_has_no_port_is_denied() -> None:
    """It meant to be protected."""
    verdict = ADMISSION.decide(pod(ENABLED, containers=[{"name": "app", "image": "app:1"}]), PLAIN)
    assert (verdict.result, verdict.reason, verdict.pod) == (Result.DENIED, Reason.NO_PORT, None)


def test_a_pod_without_a_port_starts_where_its_namespace_asked() -> None:
    """There is nothing to protect."""
    portless = pod(containers=[{"name": "app", "image": "app:1"}])
    verdict = ADMISSION.decide(portless, WHOLE)
    assert (verdict.result, verdict.reason, verdict.pod) == (Result.SKIPPED, Reason.NO_PORT, portless)


DENIED: dict[str, tuple[dict[str, str], dict[str, Any], Reason, str]] = {
    "an unknown annotation": ({"enforcer.dev/mod": "port"}, {}, Reason.BAD_SETTING, 'did you mean "enforcer.dev/mode"'),
    "a wrong value": ({"enforcer.dev/mode": "proxy"}, {}, Reason.BAD_SETTING, "expected port, loopback, transparent"),
    "two wrong ones": (
        {"enforcer.dev/a": "", "enforcer.dev/b": ""},
        {},
        Reason.BAD_SETTING,
        "enforcer.dev/a .*enforcer.dev/b ",
    ),
    "a port that is not there": ({"enforcer.dev/port": "web"}, {}, Reason.BAD_SETTING, "no TCP port is called web"),
    "the node's network": ({}, {"hostNetwork": True}, Reason.HOST_NETWORK, "hostNetwork"),
    "Windows": ({}, {"os": {"name": "windows"}}, Reason.WINDOWS, "Windows"),
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
        "called enforcer",
    ),
}


@pytest.mark.parametrize(("annotations", "spec", "reason", "told"), DENIED.values(), ids=DENIED)
@pytest.mark.parametrize("namespace", [PLAIN, WHOLE], ids=["pod", "namespace"])
def test_what_stands_in_the_way_is_a_denial(
    annotations: dict[str, str], spec: dict[str, Any], reason: Reason, told: str, namespace: dict[str, Any]
) -> None:
    """Whether the pod or the namespace asks: no pod starts unprotected because of an invalid setting."""
    labels = {} if namespace is WHOLE else ENABLED
    verdict = ADMISSION.decide(pod(labels, annotations, **spec), namespace)
    assert (verdict.result, verdict.reason, verdict.pod) == (Result.DENIED, reason, None)
    assert re.search(told, verdict.message)


def test_a_namespace_has_defaults_which_a_pod_overrides() -> None:
    """Annotations of one and of the other."""
    namespace = {
        "metadata": {"annotations": {"enforcer.dev/policy": "shared/rules.yaml", "enforcer.dev/log-level": "debug"}}
    }
    verdict = ADMISSION.decide(pod(ENABLED, {"enforcer.dev/log-level": "error"}), namespace)
    assert verdict.pod is not None
    (sidecar,) = verdict.pod["spec"]["initContainers"]
    assert sidecar["args"][1] == "/etc/enforcer/rules.yaml"
    assert "--set=log.level=error" in sidecar["args"]
    assert {"name": names.POLICY_VOLUME, "configMap": {"name": "shared"}} in verdict.pod["spec"]["volumes"]


def test_a_wrong_default_of_the_namespace_is_a_denial() -> None:
    """It says something of every pod there."""
    verdict = ADMISSION.decide(pod(ENABLED), {"metadata": {"annotations": {"enforcer.dev/polcy": "shared"}}})
    assert (verdict.result, verdict.reason) == (Result.DENIED, Reason.BAD_SETTING)


def test_to_be_asked_twice_is_to_be_asked_once() -> None:
    """Other webhooks may change the pod in between, and the API server asks again then."""
    once = ADMISSION.decide(pod(ENABLED), PLAIN).pod
    assert once is not None
    assert ADMISSION.decide(copy.deepcopy(once), PLAIN).pod == once
    more = {"name": "mesh", "image": "mesh:1"}
    changed = {**once, "spec": {**once["spec"], "containers": [*once["spec"]["containers"], more]}}
    again = ADMISSION.decide(copy.deepcopy(changed), PLAIN)
    assert again.pod == changed


def test_a_container_that_only_has_the_name_is_no_sidecar() -> None:
    """A pod that contains one already is denied with a message."""
    impostor = {"name": names.CONTAINER, "image": "anything"}
    containers = pod()["spec"]["containers"]
    verdict = ADMISSION.decide(pod(ENABLED, containers=[*containers, impostor]), PLAIN)
    assert (verdict.result, verdict.reason) == (Result.DENIED, Reason.NAME_TAKEN)


def test_mode_port_warns_of_what_the_webhook_does_not_see() -> None:
    """A Service that uses the port's number, and clients that use the pod's address."""
    warnings = ADMISSION.decide(pod(ENABLED), PLAIN).warnings
    assert "port 8080 can still be reached at the pods' addresses, bypassing the enforcer" in warnings
    assert 'Services must use targetPort "http"; one that uses the number 8080 bypasses' in warnings[-1]
    unnamed = [{"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}]
    warnings = ADMISSION.decide(pod(ENABLED, containers=unnamed), PLAIN).warnings
    assert 'Services must use targetPort "enforcer-proxy"' in warnings[-1]
    assert ADMISSION.decide(pod(ENABLED, {"enforcer.dev/mode": "loopback"}), PLAIN).warnings == ()


@pytest.mark.parametrize(("version", "native"), [((1, 31), False), ((1, 32), True)])
def test_the_clusters_own_version_decides_between_native_and_classic(version: tuple[int, int], native: bool) -> None:
    """A Service finds a native sidecar by the name of a port since 1.32."""
    verdict = Admission(settings=ADMISSION.settings, version=version, package="1").decide(pod(ENABLED), PLAIN)
    assert verdict.pod is not None
    key = "initContainers" if native else "containers"
    assert verdict.pod["spec"][key][0]["name"] == names.CONTAINER


def test_what_ends_gets_a_native_sidecar_or_none() -> None:
    """A classic sidecar would keep a Job's pod running forever."""
    old = Admission(settings=ADMISSION.settings, version=(1, 28), package="1")
    verdict = old.decide(pod(ENABLED, restartPolicy="Never"), PLAIN)
    assert (verdict.result, verdict.reason) == (Result.DENIED, Reason.NEEDS_NATIVE)


NAMES = {
    "a Deployment's pod": ({"kind": "ReplicaSet", "name": "app-5d8f"}, {"pod-template-hash": "5d8f"}, "app"),
    "a ReplicaSet's pod": ({"kind": "ReplicaSet", "name": "app"}, {}, "app"),
    "a StatefulSet's pod": ({"kind": "StatefulSet", "name": "store"}, {"pod-template-hash": "x"}, "store"),
}


@pytest.mark.parametrize(("owner", "labels", "name"), NAMES.values(), ids=NAMES)
def test_a_pod_is_called_by_what_people_wrote(owner: dict[str, str], labels: dict[str, str], name: str) -> None:
    """The default name of its policy follows from it, as in `enforcer inject`."""
    references = [{"kind": "Other", "name": "other"}, {**owner, "controller": True}]
    assert workload_name({"metadata": {"labels": labels, "ownerReferences": references}}) == name


def test_a_pod_of_nobody_has_its_own_name() -> None:
    """Or what its name begins with."""
    assert workload_name({"metadata": {"name": "debug"}}) == "debug"
    assert workload_name({"metadata": {"generateName": "debug-"}}) == "debug"


def test_every_result_has_its_reasons() -> None:
    """They are the label sets of a metric."""
    assert set(OUTCOMES) == set(Result)
    assert Reason.DISABLED not in OUTCOMES[Result.DENIED]
