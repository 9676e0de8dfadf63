"""Each value of the chart changes the rendered objects in the intended place."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from harness.kubernetes import schemas
from harness.kubernetes.chart_values import ABSENT, CONTEXTS, FLIPS, TESTED_ELSEWHERE
from harness.kubernetes.charts import ENFORCER, Values, merged, objects, only, refusal, texts, under, values, violations

from helm.values import read

NAMES = [value.name for value in read((ENFORCER / "values.yaml").read_text("utf-8")) if not value.is_section]
NEWER = {"service.trafficDistribution": ("1.33", "1.37")}
"""Values whose field not every supported version of Kubernetes has, with the versions that have it."""


def base(name: str) -> dict[str, Any]:
    """Return the values with which a value is tested."""
    result = values("minimal")
    for prefix, context in CONTEXTS.items():
        if name.startswith(prefix):
            result = merged(result, context)
    return result


def content(values: Values, place: str) -> Any:
    """Return the part of the rendered objects at a place (see chart_values.py)."""
    kind, *path = place.split(" ")
    things = objects(values)
    if kind == "config":
        node: Any = yaml.safe_load(only(things, "ConfigMap", "enforcer")["data"]["config.yaml"])
    else:
        kind, _, name = kind.partition("/")
        named = (thing for thing in things if name in ("", thing["metadata"]["name"]))
        node = next((thing for thing in named if thing["kind"] == kind), None)
    for key in path:
        if isinstance(node, list):
            node = dict(enumerate(node)).get(int(key))
        else:
            node = (node or {}).get(key)
    return ABSENT if node is None else node


def test_every_value_is_tested() -> None:
    """A new value must be added to the table, with the place where it shows."""
    assert sorted([*(flip[0] for flip in FLIPS), *TESTED_ELSEWHERE]) == sorted(NAMES)


@pytest.mark.parametrize(("name", "value", "place", "expected"), FLIPS, ids=[flip[0] for flip in FLIPS])
def test_a_value_changes_its_place(name: str, value: Any, place: str, expected: Any) -> None:
    """The place differs with the default, and the objects stay strictly valid."""
    before, after = base(name), merged(base(name), under(name, value))
    assert refusal(after) == ""
    assert content(before, place) != expected
    assert content(after, place) == expected
    assert violations(objects(after), NEWER.get(name, schemas.VERSIONS)) == []


def test_the_checksum_follows_the_configuration() -> None:
    """reload.mode: with `rollout`, a changed configuration replaces the pods; with `watch`, running pods reload it."""

    def checksum(mode: str, ttl: str) -> Any:
        changed = merged(values("minimal"), {"reload": {"mode": mode}, "config": {"cache": {"ttl": ttl}}})
        return content(changed, "Deployment spec template metadata annotations checksum/config")

    assert checksum("watch", "5s") is ABSENT
    assert checksum("rollout", "5s") == checksum("rollout", "5s")
    assert checksum("rollout", "5s") != checksum("rollout", "6s")


def test_tls_changes_the_name_of_the_port_everywhere() -> None:
    """In the container, the Service and the Ingress."""
    changed = merged(values("minimal"), {"tls": {"enabled": True, "existingSecret": "certificate"}})
    changed |= {"ingress": {"enabled": True, "hosts": [{"host": "a.example.org"}]}}
    assert content(changed, "Deployment spec template spec containers 0 ports 0 name") == "https"
    assert content(changed, "Service spec ports 0 targetPort") == "https"
    assert content(changed, "Ingress spec rules 0 http paths 0 backend service port name") == "https"
    assert content(changed, "config listener tls certificate") == "/etc/enforcer-tls/tls.crt"
    assert "curl -ik https://localhost:8091" in texts(changed)["NOTES.txt"]


def test_mode_decision_names_ports_by_protocol_and_number() -> None:
    """Meshes and Gateway API read the protocol there: HTTP/2 with prior knowledge only without TLS."""

    def ports(changes: Values) -> list[tuple[str, str | None]]:
        service = only(objects(merged(values("decision"), changes)), "Service", "enforcer")
        return [(port["name"], port.get("appProtocol")) for port in service["spec"]["ports"]]

    assert ports({}) == [("grpc-8092", "kubernetes.io/h2c"), ("http-8093", None)]
    assert ports({"tls": {"enabled": True, "existingSecret": "a"}}) == [("grpc-8092", None), ("https-8093", None)]


def test_tls_applies_to_each_listener_of_the_decision_api() -> None:
    """Unless a listener has its own; client certificates are then required of gateways."""
    own = {"certificate": "/a", "key": "/b"}
    listeners = [{**entry, "tls": own} if entry["port"] == 8093 else entry for entry in values("decision")["decision"]]
    changed = {"decision": listeners, "tls": {"enabled": True, "existingSecret": "a", "clientCa": True}}
    assert refusal(merged(values("decision"), changed)) == ""
    assert [entry["tls"] for entry in content(merged(values("decision"), changed), "config decision")] == [
        {
            "certificate": "/etc/enforcer-tls/tls.crt",
            "key": "/etc/enforcer-tls/tls.key",
            "client_ca": "/etc/enforcer-tls/ca.crt",
        },
        own,
    ]


def test_mode_decision_installs_nothing_of_a_proxy_or_the_webhook() -> None:
    """Neither a test that sends requests as a client, nor its rule."""
    kinds = {thing["kind"] for thing in objects(values("decision"))}
    assert not kinds & {"Pod", "Ingress", "HTTPRoute", "MutatingWebhookConfiguration", "ClusterRole"}
    assert kinds >= {"Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}
    config = only(objects(values("decision")), "ConfigMap", "enforcer")["data"]["config.yaml"]
    assert "helm test" not in config
    notes = texts(values("decision"))["NOTES.txt"]
    assert "enforcer.apps.svc:8093, contract nginx" in notes
    assert "networkPolicy.enabled" not in notes
    assert (
        "networkPolicy.enabled" in texts(merged(values("decision"), {"networkPolicy": {"enabled": False}}))["NOTES.txt"]
    )


def test_values_add_requests_to_helm_test() -> None:
    """tests.requests: appended to the default requests."""
    extra = {"path": "/reports", "status": 401}
    before = yaml.safe_load(content(values("minimal"), "Pod spec containers 0 env 1 value"))
    changed = merged(values("minimal"), {"tests": {"requests": [extra]}})
    assert yaml.safe_load(content(changed, "Pod spec containers 0 env 1 value")) == [*before, extra]


def test_a_single_pod_has_no_disruption_budget() -> None:
    """It would prevent draining its node."""
    assert content(merged(values("minimal"), {"replicaCount": 1}), "PodDisruptionBudget") is ABSENT
    assert content(merged(values("minimal"), {"replicaCount": 2}), "PodDisruptionBudget") is not ABSENT


def test_a_service_monitor_selects_only_the_admin_service() -> None:
    """A ServiceMonitor needs it; if it selected both Services, each pod would be scraped twice."""
    monitored = merged(values("minimal"), {"metrics": {"serviceMonitor": {"enabled": True}}})
    selected = content(monitored, "ServiceMonitor spec selector matchLabels").items()
    assert selected <= content(monitored, "Service/enforcer-admin metadata labels").items()
    assert not selected <= content(monitored, "Service/enforcer metadata labels").items()
