"""Each value does what it says, and none is there that does nothing."""

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
"""Values that not every version of Kubernetes has a field for."""


def base(name: str) -> dict[str, Any]:
    """Return the values in which one is tried."""
    found = values("minimal")
    for beginning, context in CONTEXTS.items():
        if name.startswith(beginning):
            found = merged(found, context)
    return found


def at(values: Values, place: str) -> Any:
    """Return what stands at a place in what is made."""
    kind, *way = place.split(" ")
    things = objects(values)
    if kind == "config":
        found: Any = yaml.safe_load(only(things, "ConfigMap", "enforcer")["data"]["config.yaml"])
    else:
        kind, _, name = kind.partition("/")
        named = (thing for thing in things if name in ("", thing["metadata"]["name"]))
        found = next((thing for thing in named if thing["kind"] == kind), None)
    for word in way:
        if isinstance(found, list):
            found = dict(enumerate(found)).get(int(word))
        else:
            found = (found or {}).get(word)
    return ABSENT if found is None else found


def test_every_value_is_tried() -> None:
    """A new one is added to the table, with the place where it is seen."""
    assert sorted([*(flip[0] for flip in FLIPS), *TESTED_ELSEWHERE]) == sorted(NAMES)


@pytest.mark.parametrize(("name", "value", "place", "wanted"), FLIPS, ids=[flip[0] for flip in FLIPS])
def test_a_value_is_seen_where_it_should_be(name: str, value: Any, place: str, wanted: Any) -> None:
    """Only because it was set; and what is made then is valid to the letter."""
    before, after = base(name), merged(base(name), under(name, value))
    assert refusal(after) == ""
    assert at(before, place) != wanted
    assert at(after, place) == wanted
    assert violations(objects(after), NEWER.get(name, schemas.VERSIONS)) == []


def test_the_checksum_follows_the_configuration() -> None:
    """reload.mode: by rollout, a change of the configuration makes new pods; else the running ones take it over."""

    def checksum(mode: str, ttl: str) -> Any:
        changed = merged(values("minimal"), {"reload": {"mode": mode}, "config": {"cache": {"ttl": ttl}}})
        return at(changed, "Deployment spec template metadata annotations checksum/config")

    assert checksum("watch", "5s") is ABSENT
    assert checksum("rollout", "5s") == checksum("rollout", "5s")
    assert checksum("rollout", "5s") != checksum("rollout", "6s")


def test_tls_changes_the_name_of_the_port_everywhere() -> None:
    """The container's, and what the Service and the Ingress call it."""
    changed = merged(values("minimal"), {"tls": {"enabled": True, "existingSecret": "certificate"}})
    changed |= {"ingress": {"enabled": True, "hosts": [{"host": "a.example.org"}]}}
    assert at(changed, "Deployment spec template spec containers 0 ports 0 name") == "https"
    assert at(changed, "Service spec ports 0 targetPort") == "https"
    assert at(changed, "Ingress spec rules 0 http paths 0 backend service port name") == "https"
    assert at(changed, "config listener tls certificate") == "/etc/enforcer-tls/tls.crt"
    assert "curl -ik https://localhost:8091" in texts(changed)["NOTES.txt"]


def test_more_is_asked_of_the_enforcer_by_values() -> None:
    """tests.requests: after what is asked anyway."""
    asked = {"path": "/reports", "status": 401}
    before = yaml.safe_load(at(values("minimal"), "Pod spec containers 0 env 1 value"))
    changed = merged(values("minimal"), {"tests": {"requests": [asked]}})
    assert yaml.safe_load(at(changed, "Pod spec containers 0 env 1 value")) == [*before, asked]


def test_there_is_no_budget_for_one_pod() -> None:
    """It would keep its node from being drained."""
    assert at(merged(values("minimal"), {"replicaCount": 1}), "PodDisruptionBudget") is ABSENT
    assert at(merged(values("minimal"), {"replicaCount": 2}), "PodDisruptionBudget") is not ABSENT


def test_the_metrics_have_a_service_where_one_is_looked_for() -> None:
    """A ServiceMonitor without it would find nothing, and one that found both Services would count twice."""
    monitored = merged(values("minimal"), {"metrics": {"serviceMonitor": {"enabled": True}}})
    selected = at(monitored, "ServiceMonitor spec selector matchLabels").items()
    assert selected <= at(monitored, "Service/enforcer-admin metadata labels").items()
    assert not selected <= at(monitored, "Service/enforcer metadata labels").items()
