"""The ports of an app are those that anything in its pods mentions."""

from __future__ import annotations

from typing import Any

from enforcer.kubernetes.verify.pods import AppPort, app_ports
from enforcer.kubernetes.verify.services import Endpoint


def ports(spec: Any, annotations: Any = None) -> list[str]:
    return [str(port) for port in app_ports(spec, annotations or {}, frozenset({"ours"}))]


def test_ports_are_declared_probed_and_scraped() -> None:
    """In every container that keeps running, except ours."""
    spec = {
        "containers": [
            {"name": "ours", "ports": [{"containerPort": 15080}]},
            {
                "name": "app",
                "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}],
                "livenessProbe": {"tcpSocket": {"port": 8081}},
                "readinessProbe": {"httpGet": {"port": "http"}},
                "startupProbe": {"httpGet": {"port": 1, "host": "example.org"}},
            },
        ],
        "initContainers": [
            {"name": "native", "restartPolicy": "Always", "ports": [{"containerPort": 6379}]},
            {"name": "first", "ports": [{"containerPort": 1}]},
        ],
    }
    assert ports(spec, {"prometheus.io/port": "9102"}) == [
        "TCP port http 8080 of app",
        "UDP port 53 of app",
        "TCP port 8081 of app",
        "TCP port 6379 of native",
        "TCP port 9102",
    ]


def test_invalid_ports_are_left_out() -> None:
    """An API server refuses them."""
    spec = {"containers": [{"name": "app", "ports": [{"containerPort": "x"}, 1, {}]}, "app"]}
    assert ports(spec, {"prometheus.io/port": "x"}) == []


def test_two_containers_with_one_port_are_merged() -> None:
    """The earliest native sidecar and the node's port matter."""
    first = AppPort(Endpoint("TCP", 80), native=2)
    merged = first.merged(AppPort(Endpoint("TCP", 80), native=1, host_port=8080)).merged(AppPort(Endpoint("TCP", 80)))
    assert (merged.native, merged.host_port) == (1, 8080)
