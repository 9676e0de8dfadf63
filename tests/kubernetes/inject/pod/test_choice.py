"""The choice of the port to protect."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, pod_spec

from enforcer.kubernetes.inject.pod.choice import Choice, choose_port
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.inject.pod.protocols import Target
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.workloads import NotInjectableError, Reason

HTTP = {"name": "http", "containerPort": 8080}
ADMIN = {"name": "admin", "containerPort": 8081}
UDP = {"name": "dns", "containerPort": 53, "protocol": "UDP"}
WEB = {"containerPort": 8080}
REDIS = {"name": "redis", "containerPort": 6379}
WEBHOOK = {"name": "webhook", "containerPort": 9443}
PROBES = {"name": "probes", "containerPort": 8082}
GRPC = {"name": "grpc", "containerPort": 9000}
METRICS = {"name": "metrics", "containerPort": 9090}


def choice(containers: Sequence[Any], targets: Sequence[str | int] = (), **wanted: Any) -> Choice:
    leading = [Target(target, {"targetPort": target}) for target in targets]
    return choose_port(pod_spec(deployment(*containers)), Settings(image="e:1", **wanted), leading)


@pytest.mark.parametrize(
    ("port", "part"),
    [({"containerPort": "${PORT}"}, "containerPort ${PORT} of app"), ("http", "ports of app is not a list of ports")],
)
def test_a_port_that_cannot_be_read_is_refused(port: Any, part: str) -> None:
    """It may be the app's; another one, for metrics, must not be protected in its place."""
    with pytest.raises(NotInjectableError, match=re.escape(part)) as refused:
        choice([container("app", port, METRICS)])
    assert refused.value.reason is Reason.UNREADABLE


def test_a_port_is_read_as_the_api_server_reads_it() -> None:
    """A number may have a fraction of zero, and an empty protocol is the default."""
    port = choice([container("app", {"name": "http", "containerPort": 8080.0, "protocol": ""})]).port
    assert port == Port("app", 8080, "http")
    assert isinstance(port.number, int)


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
        pytest.param([container("app", GRPC, HTTP)], (9000, 8080), {}, Port("app", 8080, "http"), id="the one of HTTP"),
        pytest.param([container("app", METRICS, WEB)], (), {}, Port("app", 8080, None), id="not the one for metrics"),
        pytest.param([container("app", HTTP, ADMIN)], (), {}, Port("app", 8080, "http"), id="what is surely HTTP"),
        pytest.param([container("app", METRICS)], (), {}, Port("app", 9090, "metrics"), id="the only one, for metrics"),
        pytest.param([container("app", GRPC)], (), {}, Port("app", 9000, "grpc"), id="gRPC"),
        pytest.param([container("app", GRPC, METRICS)], (), {}, Port("app", 9000, "grpc"), id="gRPC beside metrics"),
        pytest.param([container("app", REDIS)], (), {"port": "redis"}, Port("app", 6379, "redis"), id="on request"),
        pytest.param([container("app", ADMIN, REDIS)], (6379,), {}, Port("app", 8081, "admin"), id="beside a database"),
        pytest.param(
            [container("app", WEB, ADMIN, readinessProbe={"httpGet": {"port": 8080}})],
            (),
            {},
            Port("app", 8080, None),
            id="the one with a probe",
        ),
        pytest.param([container("app", ADMIN)], (9000,), {}, Port("app", 9000, None), id="where the Service leads to"),
        pytest.param([{"name": "app"}], (), {"port": 9000}, Port("app", 9000, None), id="one that is not declared"),
        pytest.param([{"name": "app"}], (9000, 9000), {}, Port("app", 9000, None), id="one that a Service sends to"),
        pytest.param([{"name": "a"}, {"name": "b"}], (), {"port": 1, "container": "b"}, Port("b", 1, None)),
    ],
)
def test_the_port_is_found(containers: Any, targets: Any, wanted: Any, port: Port) -> None:
    """The HTTP port that Services lead to, and the best one of several."""
    assert choice(containers, targets, **wanted).port == port


@pytest.mark.parametrize(
    ("containers", "targets", "wanted", "reason"),
    [
        ([{"name": "app"}], (), {}, Reason.NO_PORT),
        ([container("app", UDP)], (), {}, Reason.UDP_ONLY),
        ([container("app", WEB, ADMIN)], (), {}, Reason.AMBIGUOUS_PORT),
        ([container("app", WEB, ADMIN)], (8080, 8081), {}, Reason.AMBIGUOUS_PORT),
        ([container("app", METRICS, PROBES)], (), {}, Reason.AMBIGUOUS_PORT),
        ([container("app", GRPC, METRICS)], (9000, 9090), {}, Reason.AMBIGUOUS_PORT),
        ([container("app", WEBHOOK, METRICS)], (), {}, Reason.API_SERVER),
        ([container("app", REDIS)], (6379,), {}, Reason.NOT_HTTP),
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
        choice(containers, targets, **wanted)
    assert refused.value.reason is reason


def test_the_other_ports_are_listed_with_their_protocol() -> None:
    """The report and the NetworkPolicy need them."""
    others = choice([container("app", HTTP, GRPC), container("log", METRICS)]).others
    assert [(str(port), finding.speaks_http1) for port, finding in others] == [
        ("grpc 9000", False),
        ("metrics 9090", True),
    ]
