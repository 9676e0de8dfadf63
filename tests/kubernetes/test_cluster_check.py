"""A check of a cluster finds pods without protection, missing objects, and an injector that is not in force."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.injection import objects_after, options
from harness.kubernetes.manifests import Object, deployment, service, template

from enforcer.kubernetes.cluster_check import FAILURES, Reference, Snapshot, check, owner, references, wanting
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.verify.object_set import Assumptions

IMAGES = frozenset({"e"})
LABEL: Any = {"enforcer.dev/inject": "enabled"}
DISABLED: Any = {"enforcer.dev/inject": "disabled"}


def pod(of: Object | None = None, name: str = "web-1-a", namespace: str = "shop", **labels: str) -> Object:
    """Return a running pod of a Deployment, as its ReplicaSet creates it."""
    made: Any = template(of or deployment())
    metadata = {
        **made["metadata"],
        "name": name,
        "namespace": namespace,
        "labels": {**made["metadata"]["labels"], "pod-template-hash": "1", **labels},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": True}],
    }
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made["spec"], "status": status}


def injected(mode: Mode = Mode.LOOPBACK, **more: Any) -> Object:
    workload: Object = objects_after(inject_all([deployment()], options(mode, **more)))[0]
    return workload


def namespace(name: str = "shop", **labels: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def lines(*objects: Object, **parts: Any) -> list[str]:
    """Return the checks of a cluster with these objects, without those of the injector if it has none."""
    snapshot = Snapshot(**{"objects": objects, "needed": {}, "webhooks": [], "policies": [], **parts})
    checks = check(snapshot, Assumptions(images=IMAGES))
    every = [f"{each.name} {each.result}{'!' if each.result in FAILURES else ''} {each.detail}" for each in checks]
    return every if "policies" in parts else [line for line in every if not line.startswith("admission policy")]


def test_pods_in_scope_have_the_enforcer_or_want_it() -> None:
    """By their label or that of their namespace; finished ones and those of the system do not count."""
    things = [
        namespace(**LABEL),
        namespace("kube-system", **LABEL),
        pod(name="by-namespace"),
        pod(name="off", **DISABLED),
        pod(name="system", namespace="kube-system"),
        pod(name="by-label", namespace="other", **LABEL),
        pod(name="other", namespace="other"),
        pod(injected(), name="by-hand", namespace="other"),
        {**pod(name="done"), "status": {"phase": "Succeeded"}},
    ]
    assert [thing["metadata"]["name"] for thing in wanting(things, IMAGES)] == ["by-namespace", "by-label", "by-hand"]


def test_a_protected_pod_is_no_failure() -> None:
    """The pods of one workload are one line."""
    things = [pod(injected(), name=f"web-1-{letter}") for letter in "abc"]
    (protected, note) = lines(*things)
    assert protected == "deployment/web -n shop protected port 8080 only through the enforcer (3 pods)"
    assert "configmap/app-enforcer" in note


def test_a_bare_pod_is_a_failure() -> None:
    """It was created while no webhook was in force, or its namespace was labelled later."""
    (bare, opening, webhook) = lines(namespace(**LABEL), pod(), service())
    assert bare == "deployment/web -n shop bare! it wants the enforcer, and runs without: replace its pods"
    assert opening.startswith("deployment/web -n shop open! TCP port http 8080 of app")
    assert webhook.startswith("webhook missing! no webhook injects pods, and 1 namespaces and pods are labelled")


def test_a_pod_that_the_webhook_left_alone_is_excluded() -> None:
    """Its annotation says why."""
    thing = pod()
    thing["metadata"]["annotations"] = {"enforcer.dev/skipped": "no_port"}
    first = lines(namespace(**LABEL), thing)[0]
    assert first == "deployment/web -n shop excluded skipped by the webhook: no_port"


def test_an_annotation_excludes_no_pod_with_a_label_of_its_own() -> None:
    """The webhook never skips such a pod: somebody else wrote the annotation."""
    thing = pod(**LABEL)
    thing["metadata"]["annotations"] = {"enforcer.dev/skipped": "no_port"}
    assert lines(thing)[0].startswith("deployment/web -n shop bare! ")


def test_an_unknown_value_of_the_label_counts_as_the_webhook_counts_it() -> None:
    """It selects everything but `disabled`, and denies what it does not know."""
    wrong: Any = {"enforcer.dev/inject": "true"}
    (bare, opening, faulty, webhook) = lines(namespace(**wrong), pod())
    assert bare.startswith("deployment/web -n shop bare! ")
    assert opening.startswith("deployment/web -n shop open! ")
    assert faulty.startswith(
        "namespace/shop faulty! label enforcer.dev/inject: expected enabled or disabled, found true"
    )
    assert webhook.startswith("webhook missing! no webhook injects pods, and 1 namespaces")
    assert lines(pod(**wrong))[0].startswith("deployment/web -n shop bare! ")


def test_services_and_policies_around_count() -> None:
    """Those of the same namespace."""
    bypass = service(8080)
    bypass["metadata"]["namespace"] = "shop"
    first = lines(pod(injected(Mode.PORT, network_policy=False)), bypass)
    assert "by service/app port 80, the pods' addresses; no NetworkPolicy is known" in first[0]


def test_endpoints_by_hand_count() -> None:
    """A Service without a selector leads to a port that nothing else mentions; those of a controller add nothing."""
    protected = pod(injected(Mode.PORT))
    protected["status"]["podIP"] = "10.0.0.1"
    metadata = {"name": "way", "namespace": "shop"}
    way: Any = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}]}}
    by_hand: Any = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "way-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "way"}},
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"port": 9999}],
    }
    assert any(
        "TCP port 9999: by service/way port 80, the pods' addresses" in line for line in lines(protected, way, by_hand)
    )
    selecting = service(8080)
    selecting["metadata"]["namespace"] = "shop"
    labels = {"kubernetes.io/service-name": selecting["metadata"]["name"]}
    managed = {**by_hand, "metadata": {**by_hand["metadata"], "labels": labels}, "ports": [{"port": 8080}]}
    assert lines(protected, selecting, managed) == lines(protected, selecting)


def test_missing_objects_are_failures() -> None:
    """Without them pods cannot start; if that cannot be read, it is a note."""
    things = [pod(injected())]
    needed = references(things, IMAGES)
    assert [(each.kind, each.namespace, each.name) for each in needed] == [
        ("ConfigMap", "shop", "app-enforcer"),
        ("Secret", "shop", "app-enforcer"),
    ]
    states: Any = dict(zip(needed, [False, None], strict=True))
    assert lines(*things, needed=states)[2:] == [
        "configmap/app-enforcer -n shop missing! an enforcer needs it, and its pods cannot start",
        "secret/app-enforcer -n shop note an enforcer needs it; whether it exists cannot be read",
    ]
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "app-enforcer", "namespace": "shop"},
        "data": {"config.yaml": "mode: report"},
    }
    states = {Reference(kind="ConfigMap", namespace="shop", name="app-enforcer"): config}
    assert "open! its policy forwards denied requests" in lines(*things, needed=states)[0]


def test_objects_are_needed_in_every_way_that_a_container_names_them() -> None:
    """Unless they are optional, or another container's."""
    container = {
        "image": "e:1",
        "volumeMounts": [{"name": "a"}, {"name": "b"}],
        "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "d"}}],
        "env": [
            {"name": "E", "valueFrom": {"configMapKeyRef": {"name": "e", "key": "k"}}},
            {"name": "F", "valueFrom": {"secretKeyRef": {"name": "f", "key": "k"}}},
            {"name": "G", "valueFrom": {"secretKeyRef": {"name": "optional", "key": "k", "optional": True}}},
        ],
    }
    volumes = [
        {"name": "a", "secret": {"secretName": "a"}},
        {"name": "b", "projected": {"sources": [{"configMap": {"name": "b"}}, {"secret": {"name": "b"}}]}},
        {"name": "other", "secret": {"secretName": "other"}},
    ]
    spec = {
        "containers": [container, {"image": "app", "envFrom": [{"secretRef": {"name": "app"}}]}],
        "volumes": volumes,
    }
    needed = references([{"metadata": {"namespace": "shop"}, "spec": spec}], IMAGES)
    names = ["Secret a", "ConfigMap b", "Secret b", "ConfigMap c", "Secret d", "ConfigMap e", "Secret f"]
    assert [f"{each.kind} {each.name}" for each in needed] == names


def test_an_enforcer_may_run_by_the_command_of_its_image() -> None:
    """Then the container has none."""
    running = pod(deployment({"name": "gateway", "image": "e:1"}))
    assert wanting([running, pod(deployment({"name": "app", "image": "app"}))], IMAGES) == [running]


def test_different_versions_are_a_warning() -> None:
    """Of proxies and the webhook."""
    other = pod(injected(), name="web-1-b")
    for each in other["spec"]["initContainers"]:
        each["image"] = "e:2"
    webhook = pod(deployment({"name": "w", "image": "e:3", "command": ["enforcer"], "args": ["webhook"]}))
    assert lines(pod(injected()), other, webhook)[-1] == (
        "enforcers warning they have different images: e:1 (1), e:2 (1), e:3 (1)"
    )


WEBHOOK: Any = {
    "name": "pods.enforcer.dev",
    "clientConfig": {"service": {"namespace": "enforcer", "name": "app"}, "caBundle": "x"},
    "objectSelector": {"matchExpressions": [{"key": "enforcer.dev/inject", "operator": "Exists"}]},
}
SERVICE = {**service(), "metadata": {"name": "app", "namespace": "enforcer"}}


@pytest.mark.parametrize(
    ("change", "objects", "line"),
    [
        ({}, [SERVICE, pod(namespace="enforcer")], "ok pods.enforcer.dev is in force"),
        ({}, [SERVICE], "faulty! pods.enforcer.dev: no pod behind service/app -n enforcer is ready"),
        ({}, [], "faulty! pods.enforcer.dev: service/app -n enforcer does not exist"),
        ({"failurePolicy": "Ignore"}, [SERVICE, pod(namespace="enforcer")], "faulty! pods.enforcer.dev: failurePolicy"),
        ({"clientConfig": {"url": "x"}}, [], "faulty! pods.enforcer.dev: it has no caBundle"),
    ],
)
def test_the_webhook_is_in_force_if_it_can_respond(change: Any, objects: Any, line: str) -> None:
    """An API server has to reach a ready pod, and to refuse pods otherwise."""
    configurations = [{"metadata": {"name": "injector"}, "webhooks": [{**WEBHOOK, **change}, {"name": "another"}]}]
    (only,) = lines(*objects, webhooks=configurations)
    assert only.startswith(f"mutatingwebhookconfiguration/injector {line}")


def test_the_admission_policy_is_in_force_if_it_is_bound() -> None:
    """With the action Deny."""
    policy = {
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": {"objectSelector": WEBHOOK["objectSelector"]}},
    }
    binding: Any = {
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "p"},
        "spec": {"policyName": "p", "validationActions": ["Deny"]},
    }
    warning = {**binding, "spec": {**binding["spec"], "validationActions": ["Warn"]}}
    for policies, line in (
        ([policy, binding], "validatingadmissionpolicy/p ok it is in force"),
        ([policy, warning], "validatingadmissionpolicy/p faulty! no binding makes it deny pods"),
        ([], "admission policy warning none denies labelled pods without an enforcer"),
        (None, "admission policy note the cluster has no ValidatingAdmissionPolicies (Kubernetes 1.30)"),
    ):
        assert lines(policies=policies) == [line]


@pytest.mark.parametrize(
    ("owners", "name"),
    [
        ([{"kind": "ReplicaSet", "name": "web-1", "controller": True}], "deployment/web -n shop"),
        ([{"kind": "ReplicaSet", "name": "bare", "controller": True}], "replicaset/bare -n shop"),
        ([{"kind": "StatefulSet", "name": "db", "controller": True}], "statefulset/db -n shop"),
        ([{"kind": "Node", "name": "n"}], "pod/web-1-a -n shop"),
        ([], "pod/web-1-a -n shop"),
    ],
)
def test_pods_are_called_by_their_workload(owners: Any, name: str) -> None:
    """The one that people wrote."""
    thing = pod()
    thing["metadata"]["ownerReferences"] = owners
    assert owner(thing) == name
