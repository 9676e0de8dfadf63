"""The ports of an app are those that anything in its pods mentions."""

from __future__ import annotations

from typing import Any

from enforcer.kubernetes.verify.pods import AppPort, app_ports, unreadable_ports
from enforcer.kubernetes.verify.services import Endpoint


def ports(spec: Any, annotations: Any = None) -> list[str]:
    return [str(port) for port in app_ports(spec, annotations or {}, frozenset({"ours"}))]


def test_ports_are_declared_probed_and_scraped() -> None:
    """In every container except ours, whenever it runs."""
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
        "TCP port 1 of first",
        "TCP port 9102",
    ]


def test_ports_without_a_number_are_known_to_be_unreadable() -> None:
    """An API server refuses them, but a template may give them a number."""
    spec = {"containers": [{"name": "app", "ports": [{"containerPort": "x"}, 1, {}]}, "app"]}
    assert ports(spec, {"prometheus.io/port": "x"}) == []
    assert [*unreadable_ports(spec, frozenset())] == ["containerPort x of app", "containerPort None of app"]
    assert [*unreadable_ports(spec, frozenset({"app"}))] == []


def test_two_containers_with_one_port_are_merged() -> None:
    """The earliest init container and the node's port matter."""
    first = AppPort(Endpoint("TCP", 80), init=2)
    merged = first.merged(AppPort(Endpoint("TCP", 80), init=1, host_port=8080)).merged(AppPort(Endpoint("TCP", 80)))
    assert (merged.init, merged.host_port) == (1, 8080)
