"""The ports of a pod, and their names."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, pod_spec

from enforcer.kubernetes.inject.pod.ports import (
    Port,
    check_host_port,
    check_name,
    check_own_names,
    check_port,
    new_name,
    number_of,
)
from enforcer.kubernetes.workloads import NotInjectableError, Reason

HTTP = {"name": "http", "containerPort": 8080}
UDP = {"name": "dns", "containerPort": 53, "protocol": "UDP"}


def spec(*containers: Any) -> Any:
    return pod_spec(deployment(*containers))


def test_a_port_that_the_enforcer_needs_is_refused() -> None:
    """Two processes of a pod cannot listen on one port."""
    pod = spec(container("app", HTTP), container("other", {"containerPort": 15081}))
    with pytest.raises(NotInjectableError) as refused:
        check_port(pod, Port("app", 8080, "http"), {15080, 15081})
    assert refused.value.reason is Reason.PORT_TAKEN


def test_a_port_of_the_node_that_leads_to_the_app_is_refused() -> None:
    """It bypasses an enforcer on another port; ports of the node for other ports do not."""
    pod = spec(container("app", HTTP), container("other", {**HTTP, "hostPort": 80}))
    with pytest.raises(NotInjectableError, match="--mode loopback or transparent") as refused:
        check_host_port(pod, Port("app", 8080, "http"))
    assert refused.value.reason is Reason.HOST_PORT
    check_host_port(pod, Port("app", 9090, None))


def test_the_app_must_not_use_the_enforcers_port() -> None:
    """Even if it is not declared."""
    with pytest.raises(NotInjectableError, match="the enforcer's port 15080 is the app's"):
        check_port(spec({"name": "app"}), Port("app", 15080, None), {15080})


@pytest.mark.parametrize(
    "ports",
    [
        pytest.param([HTTP, {"name": "web", "containerPort": 8080}], id="two names for the port"),
        pytest.param([HTTP, {"name": "http", "containerPort": 1}], id="two ports of the name"),
    ],
)
def test_an_ambiguous_port_name_is_refused(ports: Any) -> None:
    """A Service would resolve the name to the other port."""
    with pytest.raises(NotInjectableError) as refused:
        check_name(spec(container("app", ports[0]), container("other", ports[1])), Port("app", 8080, "http"))
    assert refused.value.reason is Reason.NAME_TAKEN


@pytest.mark.parametrize("name", ["enforcer-proxy", "enforcer-admin"])
def test_the_app_must_not_use_the_names_of_our_ports(name: str) -> None:
    """A Service or a PodMonitor would find either of the two."""
    with pytest.raises(NotInjectableError, match=f"a port called {name}") as refused:
        check_own_names(spec(container("app", HTTP), container("b", {"name": name, "containerPort": 1})), PORT)
    assert refused.value.reason is Reason.NAME_TAKEN
    check_own_names(spec(container("app", HTTP)), PORT)


PORT = Port("app", 8080, "http")


def test_the_same_name_may_be_used_for_udp() -> None:
    """Services match the name and the protocol."""
    udp = {"name": "http", "containerPort": 8080, "protocol": "UDP"}
    check_name(spec(container("app", HTTP, udp)), Port("app", 8080, "http"))


@pytest.mark.parametrize(
    ("wanted", "taken", "name"),
    [
        ("app-http", set(), "app-http"),
        ("app-http", {"app-http"}, "app-http-2"),
        ("app-a-very-long-name", set(), "app-a-very-long"),
        ("app-twelve-bit-x", set(), "app-twelve-bit"),
        ("app-a-very-long", {"app-a-very-long"}, "app-a-very-lo-2"),
        ("app-a-very-lo-x", {"app-a-very-lo-x", "app-a-very-lo-2"}, "app-a-very-lo-3"),
    ],
)
def test_a_new_name_is_valid_and_unique(wanted: str, taken: set[str], name: str) -> None:
    """At most 15 characters, and no hyphen at the end (RFC 6335 §5.1)."""
    assert new_name(wanted, taken) == name


@pytest.mark.parametrize(
    ("port", "number"), [(80, 80), ("80", 80), ("http", 8080), ("dns", None), ("x", None), (None, None)]
)
def test_a_probe_refers_to_a_port_of_its_own_container(port: Any, number: int | None) -> None:
    """By its number, or by the name of a TCP port."""
    assert number_of(container("app", HTTP, UDP), port) == number
    assert number_of(container("app", {"containerPort": 1}), None) is None
