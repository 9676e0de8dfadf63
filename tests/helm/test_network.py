"""The NetworkPolicies allow only the intended clients."""

from __future__ import annotations

import pytest
from harness.kubernetes.charts import Object, Values, merged, objects, only, values
from harness.kubernetes.network_policies import Peer, may_reach

OPEN = merged(values("minimal"), {"networkPolicy": {"enabled": True}})
INGRESS = Peer({}, "ingress-nginx", {"kubernetes.io/metadata.name": "ingress-nginx"})
MONITORING = Peer({}, "monitoring", {"kubernetes.io/metadata.name": "monitoring"})
NEIGHBOUR = Peer({"app": "neighbour"})
STRANGER = Peer({"app": "stranger"}, "elsewhere", {"kubernetes.io/metadata.name": "elsewhere"})
OUTSIDE = Peer(address="198.51.100.7")
REQUESTS, METRICS = 8091, 9091


def policies(things: list[Object]) -> list[Object]:
    """Return the NetworkPolicies among objects."""
    return [thing for thing in things if thing["kind"] == "NetworkPolicy"]


def labels(things: list[Object], deployment: str) -> dict[str, str]:
    """Return the labels of a Deployment's pods."""
    return dict(only(things, "Deployment", deployment)["spec"]["template"]["metadata"]["labels"])


def reaches(values: Values, source: Peer, port: int) -> bool:
    """Return whether a client may reach a port of the enforcer's pods."""
    things = objects(values)
    return may_reach(policies(things), labels(things, "enforcer"), port, source)


@pytest.mark.parametrize("source", [INGRESS, NEIGHBOUR, STRANGER, OUTSIDE])
def test_all_clients_may_send_requests_by_default(source: Peer) -> None:
    """The enforcer checks their tokens."""
    assert reaches(OPEN, source, REQUESTS)


def test_metrics_are_open_to_the_namespace_by_default() -> None:
    """No other port is open."""
    assert reaches(OPEN, NEIGHBOUR, METRICS)
    assert not reaches(OPEN, STRANGER, METRICS)
    assert not reaches(OPEN, OUTSIDE, METRICS)
    assert not reaches(OPEN, NEIGHBOUR, 22)


def test_production_admits_only_the_ingress_controller_and_the_monitoring() -> None:
    """The pod of `helm test` sends requests, too."""
    things = objects(values("production"))
    test = Peer(only(things, "Pod")["metadata"]["labels"])
    for source in (INGRESS, MONITORING, NEIGHBOUR, STRANGER, OUTSIDE, test):
        assert reaches(values("production"), source, REQUESTS) == (source in (INGRESS, test))
        assert reaches(values("production"), source, METRICS) == (source is MONITORING)


def test_the_decision_api_admits_only_the_gateway() -> None:
    """On the port of each contract, and on no other: there is no port for clients."""
    gateway = Peer({"app": "gateway"}, "gateways", {"kubernetes.io/metadata.name": "gateways"})
    beside = Peer({"app": "other"}, "gateways", {"kubernetes.io/metadata.name": "gateways"})
    for source in (gateway, beside, INGRESS, NEIGHBOUR, STRANGER, OUTSIDE):
        for port in (8092, 8093):
            assert reaches(values("decision"), source, port) == (source is gateway)
        assert not reaches(values("decision"), source, REQUESTS)


def test_only_the_enforcer_reaches_the_app_of_the_demo() -> None:
    """Clients cannot bypass it."""
    things = objects(values("demo"))
    app = labels(things, "country-app")
    enforcer = Peer(labels(things, "enforcer"))
    assert may_reach(policies(things), app, 8090, enforcer)
    for source in (NEIGHBOUR, STRANGER, OUTSIDE, Peer(labels(things, "authserver"))):
        assert not may_reach(policies(things), app, 8090, source)
