"""The ports of an app are those that anything in its pods mentions."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.kubernetes.verify.pods import AppPort, app_ports, unreadable_parts
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
    spec = {"containers": [{"name": "app", "ports": [{"containerPort": "x"}, {"hostPort": 0}, {"containerPort": 1.0}]}]}
    assert ports(spec, {"prometheus.io/port": "x"}) == ["TCP port 1 of app"]
    assert [*unreadable_parts(spec, frozenset())] == [
        "a port is not known: containerPort x of app",
        "a port is not known: containerPort None of app",
    ]
    assert [*unreadable_parts(spec, frozenset({"app"}))] == []


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ({}, ["its pods have no containers"]),
        ({"containers": []}, ["its pods have no containers"]),
        ({"containers": {"app": {}}}, ["containers is not a list of containers"]),
        ({"containers": ["app"]}, ["containers is not a list of containers"]),
        ({"containers": [{}], "initContainers": [1]}, ["initContainers is not a list of containers"]),
        ({"containers": [{"name": "app", "ports": {"http": 1}}]}, ["ports of app is not a list of ports"]),
        ({"containers": [{"name": "app", "ports": [80]}]}, ["ports of app is not a list of ports"]),
        ({"containers": [{"ports": None}], "initContainers": None}, []),
    ],
)
def test_parts_of_another_shape_are_unreadable(spec: Any, parts: list[str]) -> None:
    """They are not taken for absent ones."""
    assert [*unreadable_parts(spec, frozenset({"ours"}))] == parts


def test_a_container_without_a_name_is_no_enforcer() -> None:
    """Knative gives containers names later; two of them must not be taken for one."""
    assert [
        str(port) for port in app_ports({"containers": [{"ports": [{"containerPort": 1}]}]}, {}, frozenset({""}))
    ] == ["TCP port 1"]


def test_two_containers_with_one_port_are_merged() -> None:
    """The earliest init container and the node's port matter."""
    first = AppPort(Endpoint("TCP", 80), init=2)
    merged = first.merged(AppPort(Endpoint("TCP", 80), init=1, host_port=8080)).merged(AppPort(Endpoint("TCP", 80)))
    assert (merged.init, merged.host_port) == (1, 8080)
