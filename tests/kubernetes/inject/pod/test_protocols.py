"""The protocol of a port, by the clues in manifests."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, pod_spec

from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.inject.pod.protocols import Protocol, Target, find_protocol

HTTP, HTTPS, HTTP2, OTHER = Protocol.HTTP, Protocol.HTTPS, Protocol.HTTP2, Protocol.OTHER
API_SERVER, UNKNOWN = Protocol.API_SERVER, Protocol.UNKNOWN


def protocol_of(name: str | None = None, number: int = 8080, *, target: Target | None = None, **more: Any) -> Protocol:
    """Return the protocol of a declared port of the container `app`."""
    port = {"containerPort": number} if name is None else {"name": name, "containerPort": number}
    spec = pod_spec(deployment(container("app", port, **more)))
    return find_protocol(spec, Port("app", number, name), [target] if target else []).protocol


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("http", HTTP),
        ("http-api", HTTP),
        ("web", HTTP),
        ("grpc-web", HTTP),
        ("https", HTTPS),
        ("grpc", HTTP2),
        ("otlp-grpc", HTTP2),
        ("h2c", HTTP2),
        ("grpcs", Protocol.HTTP2_TLS),
        ("tcp-redis", OTHER),
        ("redis", OTHER),
        ("http-memberlist", OTHER),
        ("https-webhook", API_SERVER),
        ("backend", UNKNOWN),
        ("storedb", UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_a_name_tells_the_protocol(name: str | None, protocol: Protocol) -> None:
    """By its words, as in Istio; a part of a word says nothing."""
    assert protocol_of(name) is protocol


@pytest.mark.parametrize(
    ("number", "protocol"), [(80, UNKNOWN), (443, HTTPS), (5432, OTHER), (6379, OTHER), (50051, HTTP2)]
)
def test_a_well_known_number_tells_the_protocol(number: int, protocol: Protocol) -> None:
    """If nothing else does: a port named `http` is HTTP, whatever its number."""
    assert protocol_of(None, number) is protocol
    assert protocol_of("http", number) is HTTP


@pytest.mark.parametrize(
    ("image", "protocol"),
    [("redis:7", OTHER), ("docker.io/bitnami/postgresql@sha256:1", OTHER), ("mongo-express", UNKNOWN)],
)
def test_an_image_tells_the_protocol(image: str, protocol: Protocol) -> None:
    """By its whole last part."""
    assert protocol_of(None, 1234, image=image) is protocol


@pytest.mark.parametrize(
    ("probe", "protocol"),
    [
        ({"httpGet": {"port": 5432}}, HTTP),
        ({"httpGet": {"port": "db", "scheme": "HTTPS"}}, HTTPS),
        ({"grpc": {"port": 5432}}, HTTP2),
        ({"tcpSocket": {"port": 5432}}, OTHER),
        ({"httpGet": {"port": 8081}}, OTHER),
    ],
)
def test_a_probe_of_the_port_outweighs_its_name_and_number(probe: Any, protocol: Protocol) -> None:
    """The kubelet sends that protocol, and the app responds to it; a probe of another port says nothing."""
    assert protocol_of("db", 5432, readinessProbe=probe) is protocol


@pytest.mark.parametrize(
    ("text", "protocol"),
    [("http", HTTP), ("kubernetes.io/ws", HTTP), ("kubernetes.io/h2c", HTTP2), ("TCP", OTHER), ("a.b/x", UNKNOWN)],
)
def test_the_app_protocol_of_a_service_outweighs_the_rest(text: str, protocol: Protocol) -> None:
    """If it is known: it is there for this purpose."""
    assert protocol_of(target=Target(8080, {"appProtocol": text})) is protocol


def test_a_service_names_the_protocol_too() -> None:
    """If the container's port has no name."""
    assert protocol_of(target=Target(8080, {"name": "grpc"})) is HTTP2
    assert protocol_of(target=Target(8080, {"name": "grpc", "appProtocol": "TCP"})) is HTTP2
    assert protocol_of(target=Target(9999, {"name": "grpc"})) is UNKNOWN


def test_what_the_api_server_calls_is_not_for_clients() -> None:
    """Even if it has an HTTPS probe: the API server has no access token."""
    probe = {"httpGet": {"port": 8080, "scheme": "HTTPS"}}
    assert protocol_of(target=Target(8080, {}, from_api_server=True), readinessProbe=probe) is API_SERVER
    assert protocol_of("webhook", readinessProbe={"httpGet": {"port": "webhook", "scheme": "HTTPS"}}) is API_SERVER


@pytest.mark.parametrize(("name", "auxiliary"), [("http-metrics", True), ("probes", True), ("http", False)])
def test_ports_for_metrics_and_probes_are_auxiliary(name: str, auxiliary: bool) -> None:
    """They are not what the app is for."""
    spec = pod_spec(deployment(container("app", {"name": name, "containerPort": 1})))
    assert find_protocol(spec, Port("app", 1, name), []).auxiliary is auxiliary
