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


def port_of(containers: Any, targets: Any = (), **wanted: Any) -> Port:
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
    """If exactly one port is possible."""
    assert port_of(containers, targets, **wanted) == port


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
def test_an_ambiguous_port_is_an_error(containers: Any, targets: Any, wanted: Any, reason: Reason) -> None:
    """It is not guessed."""
    with pytest.raises(NotInjectableError) as refused:
        port_of(containers, targets, **wanted)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("port", "reason"), [({**HTTP, "hostPort": 80}, Reason.HOST_PORT), ({"containerPort": 15081}, Reason.PORT_TAKEN)]
)
def test_a_port_that_cannot_be_protected_is_refused(port: Any, reason: Reason) -> None:
    """A host port bypasses the enforcer, or the enforcer needs the port itself."""
    with pytest.raises(NotInjectableError) as refused:
        check_port(spec(container("app", HTTP), container("other", port)), Port("app", 8080, "http"), {15080, 15081})
    assert refused.value.reason is reason


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
