"""The report says that a bypass is closed only if a verification of the output finds it closed."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.injection import objects_after, options
from harness.kubernetes.manifests import Object, container, deployment, pod_spec, template

from enforcer.kubernetes.inject.bypass_report import bypass, bypass_lines, verify_pod
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.sidecar import Mode

OPEN_TO_ALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "allow"},
    "spec": {"podSelector": {}, "ingress": [{}]},
}
PATCH = {"op": "replace", "path": "/image", "value": "nginx"}


@pytest.mark.parametrize(
    ("things", "mode", "settings", "state"),
    [
        ([deployment()], Mode.PORT, {}, "bypass closed if the network enforces networkpolicy/app-enforcer"),
        ([deployment(), OPEN_TO_ALL], Mode.PORT, {}, "bypass open"),
        ([deployment()], Mode.PORT, {"network_policy": False}, "bypass open"),
        ([deployment()], Mode.LOOPBACK, {}, "bypass closed by the kernel"),
        ([deployment()], Mode.LOOPBACK, {"config": {"mode": '"report"'}}, "bypass open"),
        ([deployment()], Mode.LOOPBACK, {"container_patch": (PATCH,)}, "bypass open"),
    ],
)
def test_the_summary_follows_the_verification(things: Any, mode: Mode, settings: Any, state: str) -> None:
    """With every policy in the input, and whatever the settings make of the sidecar."""
    lines = inject_all(things, options(mode, **settings)).report
    (summary,) = (line.detail for line in lines if line.result is Result.INJECTED)
    assert f", {state}" in summary
    assert any("clients can bypass" in line.detail for line in lines) is (state == "bypass open")


def test_udp_is_open_in_mode_loopback() -> None:
    """HTTP/3 beside a protected port is a bypass, and the report names it."""
    app = deployment(
        container("app", {"name": "http", "containerPort": 8443}, {"containerPort": 8443, "protocol": "UDP"})
    )
    details = [line.detail for line in inject_all([app], options(Mode.LOOPBACK)).report]
    assert details[0].endswith(", bypass of port 8443 closed by the kernel")
    assert any(detail.startswith("UDP port 8443 of app is not protected: open") for detail in details)


def test_a_pod_is_verified_by_itself() -> None:
    """As the webhook sees it."""
    outcome = inject_all([deployment()], options(Mode.LOOPBACK))
    pod = {"metadata": {}, "spec": pod_spec(objects_after(outcome)[0])}
    namespace: Object = {"metadata": {"name": "shop"}}
    assert bypass(verify_pod(pod, namespace, "e:1", (1, 33))) == "bypass closed by the kernel"
    finding = verify_pod(pod, namespace, "other:1", (1, 33))
    assert bypass(finding) == "bypass open"
    details = [detail for _, detail in bypass_lines(finding)]
    assert details[0] == "clients can bypass the enforcer: none of its containers is recognized as the enforcer"


def test_a_pod_is_verified_with_the_service_mesh_of_its_namespace() -> None:
    """Its proxy connects to the app from inside of the pod."""
    pod = template(objects_after(inject_all([deployment()], options(Mode.LOOPBACK)))[0])
    meshed: Object = {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}
    assert "forwards nothing past the enforcer" in bypass(verify_pod(pod, meshed, "e:1", (1, 33)))
