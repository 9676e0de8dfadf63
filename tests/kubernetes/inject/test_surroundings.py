"""Warnings about objects that were written for an app without an enforcer."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.injection import options
from harness.kubernetes.manifests import deployment, service, template

from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.report import Result


def warnings(*things: Any) -> str:
    """Return the warnings about these objects beside a Deployment and its Service."""
    own = [thing for thing in things if thing["kind"] == "Deployment"] or [deployment()]
    front = [thing for thing in things if thing["kind"] == "Service"] or [service()]
    others = [thing for thing in things if thing["kind"] not in ("Deployment", "Service")]
    report = inject_all([*own, *front, *others], options()).report
    return "\n".join(f"{line.name}: {line.detail}" for line in report if line.result is Result.WARNING)


def policy(**spec: Any) -> Any:
    whole = {"podSelector": {}, **spec}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"}, "spec": whole}


@pytest.mark.parametrize(
    ("spec", "limits"),
    [
        ({"policyTypes": ["Egress"]}, True),
        ({"policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [{"port": 53}]}]}, True),
        ({"egress": [{"to": []}]}, False),
        ({"policyTypes": ["Egress"], "egress": [{}]}, False),
        ({"policyTypes": ["Ingress"]}, False),
        ({"policyTypes": ["Egress"], "podSelector": {"matchLabels": {"app": "other"}}}, False),
    ],
)
def test_limited_egress_is_a_warning(spec: Any, limits: bool) -> None:
    """The enforcer has to reach the authorization server."""
    assert ("networkpolicy/deny: limits the egress of deployment/app" in warnings(policy(**spec))) is limits


def monitor(kind: str, **spec: Any) -> Any:
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": kind, "metadata": {"name": "m"}, "spec": spec}


def labelled_service() -> Any:
    front = service()
    front["metadata"]["labels"] = {"app": "app"}
    front["spec"]["ports"][0]["name"] = "web"
    return front


SELECTED = {"selector": {"matchLabels": {"app": "app"}}}


@pytest.mark.parametrize(
    ("scraper", "warned"),
    [
        (monitor("ServiceMonitor", endpoints=[{"port": "web"}], **SELECTED), True),
        (monitor("ServiceMonitor", endpoints=[{"targetPort": 8080}], **SELECTED), True),
        (monitor("ServiceMonitor", endpoints=[{"port": "metrics"}], **SELECTED), False),
        (monitor("ServiceMonitor", endpoints=[{"port": "web"}], selector={"matchLabels": {"app": "b"}}), False),
        (monitor("PodMonitor", podMetricsEndpoints=[{"port": "http"}], **SELECTED), True),
        (monitor("PodMonitor", podMetricsEndpoints=[{"portNumber": 8080}], **SELECTED), True),
        (monitor("PodMonitor", podMetricsEndpoints=[{"port": "metrics"}], **SELECTED), False),
        (monitor("PrometheusRule"), False),
    ],
)
def test_a_monitor_that_scrapes_the_protected_port_is_a_warning(scraper: Any, warned: bool) -> None:
    """Without a token it gets 401."""
    kind = scraper["kind"].lower()
    assert (f"{kind}/m: scrapes port http 8080, where metrics" in warnings(labelled_service(), scraper)) is warned


def test_scrape_annotations_of_a_service_are_a_warning() -> None:
    """By the port of the pods, or by that of the Service."""
    for number, warned in ((None, True), ("80", True), ("8080", True), ("9090", False)):
        front = service()
        port = {} if number is None else {"prometheus.io/port": number}
        front["metadata"]["annotations"] = {"prometheus.io/scrape": "true", **port}
        assert ("service/app: prometheus.io/scrape leads to the enforcer" in warnings(front)) is warned


def test_scrape_annotations_of_a_pod_without_a_port_are_a_warning() -> None:
    """Prometheus then scrapes every declared port."""
    subject = deployment()
    template(subject)["metadata"]["annotations"] = {"prometheus.io/scrape": "true"}
    assert "prometheus.io/scrape without a port has the enforcer's port scraped" in warnings(subject)


def test_pod_level_resources_are_a_warning() -> None:
    """They are a limit for the enforcer, too."""
    subject = deployment(resources={"limits": {"memory": "64Mi"}})
    assert "pod-level resources must suffice for the enforcer, too: 100m CPU and 128Mi memory" in warnings(subject)
