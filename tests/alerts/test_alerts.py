"""Alerts and dashboard query only metrics that the programs export."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from harness import plain_http
from harness.configs import TOKEN, authorization_server, config
from harness.processes import enforcer
from harness.promql import TARGET, grouped, metrics
from harness.servers import raw_server, response
from harness.waiting import eventually
from prometheus_client.parser import text_string_to_metric_families

from enforcer.kubernetes.webhook.metrics import Metrics

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "helm" / "enforcer" / "rules" / "enforcer.yaml").read_text("utf-8"))
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
DASHBOARD = json.loads((ROOT / "helm" / "enforcer" / "dashboards" / "enforcer.json").read_text("utf-8"))
TESTED = yaml.safe_load((Path(__file__).parent / "enforcer.yaml").read_text("utf-8"))["tests"]
METRICS = (ROOT / "docs" / "metrics.md").read_text("utf-8")
RUNBOOK = (ROOT / "docs" / "alerts.md").read_text("utf-8")

QUERIES = {
    **{name: rule["expr"] for name, rule in ALERTS.items()},
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    },
    **{
        f"${variable['name']}": variable["query"]["query"].partition("(")[2].rpartition(",")[0]
        for variable in DASHBOARD["templating"]["list"]
        if variable["type"] == "query"
    },
}
ISSUER = "https://issuer.example.org"
JWT = ".".join(
    urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "ES256", "typ": "at+jwt", "kid": "a"}, {"iss": ISSUER}, "signature")
)
"""A token whose verification needs the issuer's keys."""
each_alert = pytest.mark.parametrize("name", ALERTS)
each_query = pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)


@pytest.fixture(scope="module")
def exported() -> Mapping[str, set[str]]:
    """Labels by metric, as the running programs export them after at least one event of each kind."""

    def app(head: bytes, body: bytes) -> bytes | None:
        return None if b"/hang-up" in head else response(b"", "200 OK")

    def auth(head: bytes, body: bytes) -> bytes:
        active = json.dumps({"active": f"token={TOKEN}".encode() in body, "scope": "read", "iss": ISSUER})
        return response(b"", "404 Not Found") if b" /keys " in head else response(active.encode(), "200 OK")

    with raw_server(auth) as server, raw_server(app) as upstream:
        keys = {"jwks_uri": f"http://127.0.0.1:{server.port}/keys", "verify": "jwt_then_introspect"}
        known = authorization_server(server.port, issuer=ISSUER, **keys)
        changes = {"authorization_servers": [known], "cache": {"negative_entries": 1}}
        with enforcer(config(f"http://127.0.0.1:{upstream.port}", server.port, **changes)) as running:
            with plain_http.client(base_url=f"http://127.0.0.1:{running.port}") as client:
                for token in (TOKEN, "made-up", "made-up-too", JWT):
                    client.get("/things", headers={"Authorization": f"Bearer {token}"})
                assert client.get("/public/hang-up").status_code == 502
            admin = f"http://127.0.0.1:{running.admin_port}/metrics"

            def evicted() -> bool:
                return "enforcer_cache_evictions_total{" in plain_http.get(admin).text

            assert eventually(evicted)
            text = plain_http.get(admin).text
    webhook = Metrics("1")
    webhook.trusted({"authority": datetime(2026, 1, 1, tzinfo=UTC)})
    return {
        sample.name: {*sample.labels}
        for exposition in (text, webhook.exposition().decode())
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if not sample.name.endswith("_created")
    } | {"up": set()}


@each_query
def test_a_query_uses_exported_metrics(query: str, exported: Mapping[str, set[str]]) -> None:
    """By name, and with labels that they have."""
    selectors = list(metrics(query))
    assert selectors
    for metric in selectors:
        assert metric.name in exported
        assert metric.labels.keys() <= exported[metric.name] | TARGET
    known = set().union(*(exported[metric.name] for metric in selectors))
    assert grouped(query) <= known | TARGET


@each_query
def test_a_query_compares_with_documented_label_values(query: str) -> None:
    """docs/metrics.md lists the values, except status patterns and Grafana variables."""
    compared = {
        value
        for metric in metrics(query)
        for label, values in metric.labels.items()
        if label not in {*TARGET, "code"}
        for value in values
        if not value.startswith("$")
    }
    assert {value for value in compared if f"`{value}`" not in METRICS} == set()


@each_alert
def test_an_alert_has_annotations_and_a_section(name: str) -> None:
    """Severity, summary and description; the alerts page has a section for it."""
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert {*rule["annotations"]} == {"summary", "description"}
    assert f"\n## {name}\n" in RUNBOOK


def test_the_page_has_exactly_the_alerts() -> None:
    """In the same order."""
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == list(ALERTS)


def outcomes() -> Iterator[tuple[str, bool]]:
    """Yield each case of `make alerts`: the alert, and whether it must fire."""
    for test in TESTED:
        for case in test["alert_rule_test"]:
            yield case["alertname"], bool(case.get("exp_alerts"))


def test_each_alert_is_tested_both_ways() -> None:
    """By promtool: with an input for which it fires, and one for which it does not."""
    assert {name for name, fires in outcomes() if fires} == {*ALERTS}
    assert {name for name, fires in outcomes() if not fires} == {*ALERTS}
