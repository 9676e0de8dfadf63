"""Services, and the pods and ports that they send to."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, pod_spec, service

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import is_ours, with_status, without_status
from enforcer.kubernetes.inject.objects.services import (
    by_name,
    by_number,
    given_back,
    is_headless,
    is_taken_over,
    name_for,
    selects_pods_of,
    taken_over,
    targets,
    with_named_target,
)
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.workloads import workload_of

PORT = Port("app", 8080, None)


@pytest.mark.parametrize(
    ("spec", "namespaces", "selected"),
    [
        ({}, (None, None), True),
        ({}, ("web", "web"), True),
        ({}, ("web", None), True),
        ({}, ("web", "other"), False),
        ({"selector": {}}, (None, None), False),
        ({"selector": None}, (None, None), False),
        ({"selector": {"app": "app", "tier": "x"}}, (None, None), False),
        ({"type": "ExternalName"}, (None, None), False),
        ({"type": "NodePort"}, (None, None), True),
    ],
)
def test_a_service_selects_pods_of_its_namespace(
    spec: Any, namespaces: tuple[str | None, str | None], selected: bool
) -> None:
    """Within a namespace; objects without a namespace may be in the same one."""
    subject, app = service(**spec), deployment()
    for thing, namespace in zip((subject, app), namespaces, strict=True):
        if namespace:
            thing["metadata"]["namespace"] = namespace
    workload = workload_of(app)
    assert workload is not None
    assert selects_pods_of(subject, workload) is selected


@pytest.mark.parametrize(
    ("port", "target"),
    [
        ({"port": 80, "targetPort": "http"}, ["http"]),
        ({"port": 80, "targetPort": 8080}, [8080]),
        ({"port": 80, "targetPort": "8080"}, [8080]),
        ({"port": 8080}, [8080]),
        ({"port": 8080, "targetPort": None}, [8080]),
        ({"port": 8080, "targetPort": 0}, [8080]),
        ({"port": 8080, "protocol": "UDP"}, []),
        ({}, []),
    ],
)
def test_the_target_of_a_port_defaults_to_its_number(port: Any, target: list[Any]) -> None:
    """Only TCP ports count."""
    subject = service(ports=[port])
    assert [*targets(subject)] == target
    assert by_number(subject, PORT) is (target == [8080])
    assert by_name([subject], Port("app", 8080, "http")) is (target == ["http"])


def test_a_headless_service_has_no_address() -> None:
    """Its clients resolve the pods' addresses."""
    assert is_headless(service(clusterIP="None"))
    assert not is_headless(service())


@pytest.mark.parametrize(
    "port",
    [
        {"name": "web", "port": 80, "targetPort": 8080, "appProtocol": "http"},
        {"name": "web", "port": 8080},
        {"port": 8080, "targetPort": "8080", "protocol": "TCP"},
    ],
)
@pytest.mark.parametrize("annotations", [None, {}, {"a": "b"}])
def test_a_service_is_taken_over_and_restored(port: Any, annotations: Any) -> None:
    """The original is restored exactly; ports with other targets stay unchanged."""
    others = [{"name": "other", "port": 9090, "targetPort": 9090}, {"port": 8080, "protocol": "UDP"}]
    before = service(ports=[port, *others])
    if annotations is not None:
        before["metadata"]["annotations"] = annotations
    after = taken_over(before, PORT, "http")
    assert [entry.get("targetPort") for entry in after["spec"]["ports"]] == ["http", 9090, None]
    assert is_taken_over(after)
    assert not is_taken_over(before)
    assert given_back(after) == before
    assert list(given_back(after)["metadata"]) == list(before["metadata"])  # type: ignore[index]
    assert with_named_target(before, PORT, "http")["spec"] == after["spec"]
    assert given_back(before) is None


@pytest.mark.parametrize(
    ("services", "name"),
    [
        ([service(ports=[{"name": "web", "port": 80, "targetPort": 8080}])], "web"),
        ([service(ports=[{"name": "a-very-long-name-indeed", "port": 8080}])], "a-very-long-nam"),
        ([service(ports=[{"name": "web", "port": 80, "targetPort": 9090}, {"name": "x", "port": 1}])], "http"),
        ([service(8080)], "http"),
        ([service("http"), service(8080)], "http-2"),
        ([service(ports=[{"name": "metrics", "port": 80, "targetPort": 8080}])], "metrics-2"),
    ],
)
def test_an_unnamed_port_gets_a_name(services: Any, name: str) -> None:
    """The name of the Service's port, unless another port has it or another Service uses it."""
    spec = pod_spec(deployment(container("app", {"containerPort": 8080}, {"name": "metrics", "containerPort": 9090})))
    assert name_for(services, PORT, spec) == name


def test_the_status_restores_an_object() -> None:
    """As long as nobody removes or changes the status annotation."""
    assert without_status(with_status({"metadata": {"name": "a"}}, {"x": [1]})) == (
        {"metadata": {"name": "a"}},
        {"x": [1]},
    )
    for text in ("{", "5", None):
        assert without_status({"metadata": {"annotations": {names.STATUS: text}}}) is None


@pytest.mark.parametrize(
    ("kind", "annotations", "ours"),
    [
        ("NetworkPolicy", {names.INJECTED_BY: "x"}, True),
        ("ConfigMap", {names.INJECTED_BY: "x"}, True),
        ("ConfigMap", {}, False),
        ("Pod", {names.INJECTED_BY: "x"}, False),
    ],
)
def test_created_objects_have_an_annotation(kind: str, annotations: Any, ours: bool) -> None:
    """A pod is never created by the injector, even if it was injected."""
    assert is_ours({"kind": kind, "metadata": {"annotations": annotations}}) is ours
