"""The protected port, and the names of ports."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, pod_spec

from enforcer.kubernetes.inject.pod.ports import Port, check_name, check_port, find_port, new_name, number_of
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.workloads import NotInjectableError, Reason

HTTP = {"name": "http", "containerPort": 8080}
ADMIN = {"name": "admin", "containerPort": 8081}
UDP = {"name": "dns", "containerPort": 53, "protocol": "UDP"}


def spec(*containers: Any) -> Any:
    return pod_spec(deployment(*containers))


def found(containers: Any, targets: Any = (), **wanted: Any) -> Port:
    return find_port(spec(*containers), Settings(image="e:1", **wanted), targets)


@pytest.mark.parametrize(
    ("containers", "targets", "wanted", "port"),
    [
        pytest.param([container("app", HTTP)], (), {}, Port("app", 8080, "http"), id="the only one"),
        pytest.param([container("app", HTTP, UDP)], (), {}, Port("app", 8080, "http"), id="the only one for TCP"),
        pytest.param([container("app", HTTP, ADMIN)], ("http",), {}, Port("app", 8080, "http"), id="a Service's"),
        pytest.param([container("app", HTTP, ADMIN)], (8081,), {}, Port("app", 8081, "admin"), id="by its number"),
        pytest.param([container("app", HTTP, ADMIN)], (), {"port": 8081}, Port("app", 8081, "admin"), id="wanted"),
        pytest.param([container("app", HTTP, ADMIN)], (), {"port": "http"}, Port("app", 8080, "http"), id="a name"),
        pytest.param([container("a", HTTP), container("b", ADMIN)], (), {"container": "b"}, Port("b", 8081, "admin")),
        pytest.param([{"name": "app"}], (), {"port": 9000}, Port("app", 9000, None), id="one that is not declared"),
        pytest.param([{"name": "app"}], (9000, 9000), {}, Port("app", 9000, None), id="one that a Service sends to"),
        pytest.param([{"name": "a"}, {"name": "b"}], (), {"port": 1, "container": "b"}, Port("b", 1, None)),
    ],
)
def test_the_port_is_found(containers: Any, targets: Any, wanted: Any, port: Port) -> None:
    """If only one port is possible."""
    assert found(containers, targets, **wanted) == port


@pytest.mark.parametrize(
    ("containers", "targets", "wanted", "reason"),
    [
        ([{"name": "app"}], (), {}, Reason.NO_PORT),
        ([container("app", UDP)], (), {}, Reason.UDP_ONLY),
        ([container("app", HTTP, ADMIN)], (), {}, Reason.AMBIGUOUS_PORT),
        ([container("app", HTTP, ADMIN)], ("http", 8081), {}, Reason.AMBIGUOUS_PORT),
        ([container("a", HTTP), container("b", HTTP)], (), {"port": "http"}, Reason.AMBIGUOUS_PORT),
        ([{"name": "a"}, {"name": "b"}], (), {"port": 1}, Reason.AMBIGUOUS_PORT),
        ([{"name": "app"}], (8080, 9090), {}, Reason.AMBIGUOUS_PORT),
        ([{"name": "app"}], ("http",), {}, Reason.BAD_SETTING),
        ([container("app", HTTP)], (), {"port": "web"}, Reason.BAD_SETTING),
        ([container("app", HTTP)], (), {"container": "web"}, Reason.BAD_SETTING),
    ],
)
def test_a_port_that_is_not_certain_is_asked_for(containers: Any, targets: Any, wanted: Any, reason: Reason) -> None:
    """Rather than guessed."""
    with pytest.raises(NotInjectableError) as refused:
        found(containers, targets, **wanted)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("port", "reason"),
    [({**HTTP, "hostPort": 80}, Reason.HOST_PORT), ({"containerPort": 15081}, Reason.PORT_TAKEN)],
)
def test_a_port_that_cannot_be_protected_is_refused(port: Any, reason: Reason) -> None:
    """Since something else leads there, or is there."""
    with pytest.raises(NotInjectableError) as refused:
        check_port(spec(container("app", HTTP), container("other", port)), Port("app", 8080, "http"), {15080, 15081})
    assert refused.value.reason is reason


def test_the_apps_port_is_not_the_enforcers_own() -> None:
    """Also where it is not declared."""
    with pytest.raises(NotInjectableError, match="the enforcer's port 15080 is the app's"):
        check_port(spec({"name": "app"}), Port("app", 15080, None), {15080})


@pytest.mark.parametrize(
    "ports",
    [
        pytest.param([HTTP, {"name": "web", "containerPort": 8080}], id="two names for the port"),
        pytest.param([HTTP, {"name": "http", "containerPort": 1}], id="two ports of the name"),
    ],
)
def test_a_name_that_would_lead_elsewhere_is_refused(ports: Any) -> None:
    """A Service would find the other one."""
    with pytest.raises(NotInjectableError) as refused:
        check_name(spec(container("app", ports[0]), container("other", ports[1])), Port("app", 8080, "http"))
    assert refused.value.reason is Reason.NAME_TAKEN


def test_the_same_name_for_udp_is_another() -> None:
    """A Service looks for both, name and protocol."""
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
def test_a_new_name_is_short_enough_and_nobody_elses(wanted: str, taken: set[str], name: str) -> None:
    """15 characters at most, no hyphen at the end (RFC 6335 §5.1)."""
    assert new_name(wanted, taken) == name


@pytest.mark.parametrize(
    ("port", "number"), [(80, 80), ("80", 80), ("http", 8080), ("dns", None), ("x", None), (None, None)]
)
def test_a_probes_port_is_one_of_its_own_container(port: Any, number: int | None) -> None:
    """By its number, or by the name of one for TCP."""
    assert number_of(container("app", HTTP, UDP), port) == number
