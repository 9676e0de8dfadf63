"""Services, and how they find a port."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, pod_spec, service

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import is_ours, with_status, without_status
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.inject.services import (
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
from enforcer.kubernetes.workloads import workload_of

PORT = Port("app", 8080, None)


@pytest.mark.parametrize(
    ("spec", "namespaces", "leads"),
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
def test_a_service_leads_to_what_it_selects(spec: Any, namespaces: tuple[str | None, str | None], leads: bool) -> None:
    """In its own namespace; one that is not said may be the same."""
    one, other = service(**spec), deployment()
    for thing, namespace in zip((one, other), namespaces, strict=True):
        if namespace:
            thing["metadata"]["namespace"] = namespace
    workload = workload_of(other)
    assert workload is not None
    assert selects_pods_of(one, workload) is leads


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
def test_a_port_sends_to_its_target_or_to_its_own_number(port: Any, target: list[Any]) -> None:
    """For TCP only."""
    one = service(ports=[port])
    assert [*targets(one)] == target
    assert by_number(one, PORT) is (target == [8080])
    assert by_name([one], Port("app", 8080, "http")) is (target == ["http"])


def test_headless_is_without_an_address() -> None:
    """Its clients get those of the pods."""
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
def test_a_service_is_turned_and_turned_back(port: Any, annotations: Any) -> None:
    """To the letter; ports for others stay as they are."""
    others = [{"name": "other", "port": 9090, "targetPort": 9090}, {"port": 8080, "protocol": "UDP"}]
    before = service(ports=[port, *others])
    if annotations is not None:
        before["metadata"]["annotations"] = annotations
    after = taken_over(before, PORT, "http")
    assert [one.get("targetPort") for one in after["spec"]["ports"]] == ["http", 9090, None]
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
def test_a_port_without_a_name_gets_one(services: Any, name: str) -> None:
    """The Service's own, if nobody else has it or looks for it."""
    spec = pod_spec(deployment(container("app", {"containerPort": 8080}, {"name": "metrics", "containerPort": 9090})))
    assert name_for(services, PORT, spec) == name


def test_an_object_says_what_it_was() -> None:
    """As long as nobody takes that away."""
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
def test_what_was_made_here_says_so(kind: str, annotations: Any, ours: bool) -> None:
    """A pod was not, even if it was injected."""
    assert is_ours({"kind": kind, "metadata": {"annotations": annotations}}) is ours
