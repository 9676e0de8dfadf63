"""EndpointSlices and Endpoints lead to pods by address and by name."""

from __future__ import annotations

from typing import Any

from harness.kubernetes.manifests import Object

from enforcer.kubernetes.verify.endpoints import EndpointIndex
from enforcer.kubernetes.workloads import workload_of


def pod(*addresses: str) -> Object:
    status = {"podIP": addresses[0], "podIPs": [{"ip": address} for address in addresses]} if addresses else {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": "apps"}, "status": status}


def endpoint_slice(*ports: Object, service: str = "", **endpoint: Any) -> Object:
    labels = {"kubernetes.io/service-name": service} if service else {}
    metadata = {"name": "by-hand", "labels": labels}
    return {"kind": "EndpointSlice", "metadata": metadata, "ports": ports, "endpoints": [endpoint]}


def routes(thing: Object, *objects: Object, services: tuple[Object, ...] = (), space: str | None = "apps") -> list[str]:
    """Return the routes of objects in a namespace to the pods of an object, and the endpoints that they lead to."""
    workload = workload_of(thing)
    assert workload is not None
    index = EndpointIndex({space: [{**obj, "ports": [*obj.get("ports", ())]} for obj in objects]}, {space: services})
    return [f"{route}: {route.endpoint}" for route in index.routes(workload, "apps")]


def test_an_address_of_a_pod_leads_to_it_in_every_namespace() -> None:
    """In whatever form it is written."""
    by_hand = endpoint_slice({"port": 8080}, addresses=["10.0.0.9", "fd00:0:0::1"])
    assert routes(pod("10.0.0.1", "fd00::1"), by_hand) == ["endpointslice/by-hand port 8080: TCP port 8080"]
    assert routes(pod("fd00::1"), by_hand, space="b") == ["endpointslice/by-hand -n b port 8080: TCP port 8080"]
    assert routes(pod("10.0.0.1"), by_hand) == routes(pod(), by_hand) == []


def test_a_reference_names_a_pod_in_its_own_namespace() -> None:
    """Or in that of the object, if it has none."""
    here, there = (endpoint_slice({"port": 1}, targetRef={"kind": "Pod", "name": "app", **space}) for space in SPACES)
    assert routes(pod(), here) == routes(pod(), there, space="apps") != []
    assert routes(pod(), here, space="other") == []
    assert routes(pod(), there, space="other") == ["endpointslice/by-hand -n other port 1: TCP port 1"]
    assert routes(pod(), endpoint_slice({"port": 1}, targetRef={"kind": "Node", "name": "app"})) == []


SPACES: tuple[Object, Object] = ({}, {"namespace": "apps"})


def test_a_route_has_the_name_and_the_port_of_the_service() -> None:
    """Ports belong together by their names."""
    service = {"kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"name": "b", "port": 80}]}}
    by_hand = endpoint_slice({"name": "b", "port": 8080}, {"port": 9}, service="web", addresses=["10.0.0.1"])
    expected = ["service/web port 80: TCP port 8080", "service/web port 9: TCP port 9"]
    assert routes(pod("10.0.0.1"), by_hand, services=(service,)) == expected


def test_endpoints_belong_to_the_service_of_their_name() -> None:
    """Addresses that are not ready count, too; an address that cannot be read does not."""
    service = {"kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 53, "protocol": "UDP"}]}}
    subset = {"notReadyAddresses": [{"ip": "10.0.0.1"}, {"ip": None}], "ports": [{"port": 5353, "protocol": "UDP"}]}
    endpoints = {"kind": "Endpoints", "metadata": {"name": "web"}, "subsets": [subset]}
    assert routes(pod("10.0.0.1"), endpoints, services=(service,)) == ["service/web port 53: UDP port 5353"]
    assert routes(pod("not an address"), endpoints, services=(service,)) == []
