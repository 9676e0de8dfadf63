"""The ports of Services resolve as in a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import service
from harness.kubernetes.service_endpoints import resolved

from enforcer.kubernetes.verify.services import Endpoint, is_service, may_select_pods, routes
from enforcer.kubernetes.workloads import Workload

NATIVE = {"name": "n", "restartPolicy": "Always", "ports": [{"name": "http", "containerPort": 15080}]}
SPEC: Any = {
    "containers": [
        {"name": "a", "ports": [{"name": "web", "containerPort": 8080}, {"name": "quic", "containerPort": 443}]},
        {"name": "b", "ports": [{"name": "quic", "containerPort": 8443, "protocol": "UDP"}]},
    ],
    "initContainers": [{"name": "i", "ports": [{"name": "once", "containerPort": 1}]}, NATIVE],
}


@pytest.mark.parametrize("target", ["web", "quic", "http", "once", "none", 9000, "9000", None, 0, ""])
@pytest.mark.parametrize("protocol", [None, "TCP", "UDP"])
def test_ports_resolve_as_the_endpoints_controller_does(target: Any, protocol: str | None) -> None:
    """Before and since Kubernetes 1.32, which finds native sidecars."""
    thing = service(target)
    if protocol:
        thing["spec"]["ports"][0]["protocol"] = protocol
    (entry,) = thing["spec"]["ports"]
    number = {**entry, "targetPort": int(target)} if target == "9000" else entry
    for version in ((1, 31), (1, 32)):
        expected = resolved(SPEC, number, version)
        ends = {route.endpoint for route in routes(thing, SPEC, version)}
        assert (None if expected is None else Endpoint(protocol or "TCP", expected)) in ends


def test_a_port_that_moves_with_the_version_has_two_routes() -> None:
    """If the oldest version does not find native sidecars."""
    assert [*map(str, routes(service("http"), SPEC, (1, 29)))] == [
        "service/app port 80 before Kubernetes 1.32",
        "service/app port 80 since Kubernetes 1.32",
    ]
    assert [*map(str, routes(service("http"), SPEC, (1, 32)))] == ["service/app port 80"]


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        ({}, True),
        ({"clusterIP": "None"}, True),
        ({"type": "ExternalName"}, False),
        ({"selector": {}}, False),
        ({"selector": {"app": "other"}}, False),
    ],
)
def test_a_service_selects_by_labels(spec: Any, selected: bool) -> None:
    """One without a selector selects nothing."""
    pod = Workload("Pod", "app", None, (), {"metadata": {"labels": {"app": "app"}}})
    assert may_select_pods(service(**spec), pod) is selected


def test_a_service_of_another_api_is_none() -> None:
    """Knative has Services, too."""
    assert is_service(service())
    assert not is_service({**service(), "apiVersion": "serving.knative.dev/v1"})
