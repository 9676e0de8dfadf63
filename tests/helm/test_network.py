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
    """Return the policies among what is made."""
    return [thing for thing in things if thing["kind"] == "NetworkPolicy"]


def labels(things: list[Object], deployment: str) -> dict[str, str]:
    """Return the labels of a Deployment's pods."""
    return dict(only(things, "Deployment", deployment)["spec"]["template"]["metadata"]["labels"])


def reaches(values: Values, source: Peer, port: int) -> bool:
    """Return whether a client may reach a port of the enforcer's pods."""
    things = objects(values)
    return may_reach(policies(things), labels(things, "enforcer"), port, source)


@pytest.mark.parametrize("source", [INGRESS, NEIGHBOUR, STRANGER, OUTSIDE])
def test_everybody_may_send_requests_unless_somebody_is_named(source: Peer) -> None:
    """The enforcer is what they go through."""
    assert reaches(OPEN, source, REQUESTS)


def test_metrics_are_for_the_namespace_unless_somebody_is_named() -> None:
    """And no other port is open."""
    assert reaches(OPEN, NEIGHBOUR, METRICS)
    assert not reaches(OPEN, STRANGER, METRICS)
    assert not reaches(OPEN, OUTSIDE, METRICS)
    assert not reaches(OPEN, NEIGHBOUR, 22)


def test_in_production_only_the_ingress_sends_requests_and_only_the_monitoring_reads_metrics() -> None:
    """The pod of `helm test` sends some too."""
    things = objects(values("production"))
    test = Peer(only(things, "Pod")["metadata"]["labels"])
    for source in (INGRESS, MONITORING, NEIGHBOUR, STRANGER, OUTSIDE, test):
        assert reaches(values("production"), source, REQUESTS) == (source in (INGRESS, test))
        assert reaches(values("production"), source, METRICS) == (source is MONITORING)


def test_in_the_demo_nothing_but_the_enforcer_reaches_the_app() -> None:
    """The way around it is closed."""
    things = objects(values("demo"))
    app = labels(things, "country-app")
    enforcer = Peer(labels(things, "enforcer"))
    assert may_reach(policies(things), app, 8090, enforcer)
    for source in (NEIGHBOUR, STRANGER, OUTSIDE, Peer(labels(things, "authserver"))):
        assert not may_reach(policies(things), app, 8090, source)
