"""The exported metrics."""

import re

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from enforcer.policy.decision import Deny, Reason
from enforcer.telemetry import Telemetry

KNOWN = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}  # RFC 9110 §9.3, RFC 5789


def families(telemetry: Telemetry) -> dict[str, Metric]:
    """Scrape and parse, as Prometheus would."""
    return {family.name: family for family in text_string_to_metric_families(telemetry.exposition().decode())}


def samples(telemetry: Telemetry) -> list[Sample]:
    return [
        sample
        for name, family in families(telemetry).items()
        if name.startswith("enforcer_")
        for sample in family.samples
    ]


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    values = [sample.value for sample in samples(telemetry) if (sample.name, sample.labels) == (name, labels)]
    assert len(values) <= 1
    return values[0] if values else None


def busy() -> Telemetry:
    """Return a Telemetry with at least one event of each kind."""
    telemetry = Telemetry("1.2.3")
    route = telemetry.route("read countries")
    route.requests[b"GET", 200].value += 3
    route.decisions["allow", "ok"].value += 3
    route.duration.observe(0.003)
    upstream = telemetry.upstream("app")
    upstream.responses[200].value += 3
    upstream.errors["timeout"] += 1
    upstream.duration.observe(0.002)
    server = telemetry.server("default")
    server.results["active"] += 1
    server.rejected["expired"] += 6
    server.duration.observe(0.1)
    server.hits, server.negative_hits, server.misses, server.coalesced, server.in_flight = 5, 4, 3, 2, 1
    telemetry.overhead.observe(0.00004)
    telemetry.in_flight = lambda: 7
    telemetry.connections = lambda: 8
    telemetry.cache_entries = lambda: 9
    telemetry.cache_evictions = lambda: {"expired": 10, "capacity": 11}
    telemetry.loaded("abc")
    telemetry.ready = True
    return telemetry


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("requests_total", {"route": "read countries", "method": "GET", "code": "200"}, 3),
        ("request_duration_seconds_count", {"route": "read countries"}, 1),
        ("request_duration_seconds_sum", {"route": "read countries"}, 0.003),
        ("request_duration_seconds_bucket", {"route": "read countries", "le": "0.0025"}, 0),
        ("request_duration_seconds_bucket", {"route": "read countries", "le": "0.005"}, 1),
        ("requests_in_flight", {}, 7),
        ("connections", {}, 8),
        ("decisions_total", {"route": "read countries", "decision": "allow", "reason": "ok"}, 3),
        ("overhead_duration_seconds_count", {}, 1),
        ("overhead_duration_seconds_bucket", {"le": "0.0001"}, 1),
        ("upstream_requests_total", {"upstream": "app", "code": "200"}, 3),
        ("upstream_duration_seconds_count", {"upstream": "app"}, 1),
        ("upstream_errors_total", {"upstream": "app", "reason": "timeout"}, 1),
        ("introspection_requests_total", {"server": "default", "result": "active"}, 1),
        ("jwt_rejected_total", {"server": "default", "reason": "expired"}, 6),
        ("introspection_duration_seconds_count", {"server": "default"}, 1),
        ("introspection_in_flight", {}, 1),
        ("introspection_coalesced_total", {}, 2),
        ("cache_requests_total", {"result": "hit"}, 5),
        ("cache_requests_total", {"result": "negative_hit"}, 4),
        ("cache_requests_total", {"result": "miss"}, 3),
        ("cache_requests_total", {"result": "coalesced"}, 2),
        ("cache_entries", {}, 9),
        ("cache_evictions_total", {"reason": "expired"}, 10),
        ("cache_evictions_total", {"reason": "capacity"}, 11),
        ("config_last_reload_successful", {}, 1),
        ("config_info", {"hash": "abc"}, 1),
        ("build_info", {"version": "1.2.3"}, 1),
        ("ready", {}, 1),
        ("draining", {}, 0),
    ],
)
def test_every_event_is_exported(name: str, labels: dict[str, str], expected: float) -> None:
    """Once, under its name, in base units."""
    assert value(busy(), f"enforcer_{name}", **labels) == expected


def test_the_time_of_the_last_load_is_exported() -> None:
    """In seconds since the epoch; 0 before the first load."""
    name = "enforcer_config_last_reload_success_timestamp_seconds"
    assert value(Telemetry("1"), name) == 0
    assert value(Telemetry("1"), "enforcer_config_last_reload_successful") == 0
    loaded = value(busy(), name)
    assert loaded is not None
    assert loaded > 1_700_000_000


@pytest.mark.parametrize("telemetry", [Telemetry("1"), busy()], ids=["at the start", "busy"])
def test_every_metric_has_one_help_and_one_type(telemetry: Telemetry) -> None:
    """And a name with its unit."""
    lines = telemetry.exposition().decode().splitlines()
    helped = [line.split(" ", 3) for line in lines if line.startswith("# HELP enforcer_")]
    typed = {line.split(" ")[2]: line.split(" ")[3] for line in lines if line.startswith("# TYPE enforcer_")}
    names = [name for _, _, name, _ in helped]
    assert len(names) == len(set(names))
    assert set(typed) == set(names)
    assert all(text.endswith(".") for *_, text in helped)
    exported = {line.partition("{")[0].partition(" ")[0] for line in lines if line.startswith("enforcer_")}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in exported} <= set(names)
    for name, kind in typed.items():
        assert name.endswith("_total") == (kind == "counter")
        assert kind != "histogram" or name.endswith("_seconds")


def test_metrics_of_process_and_interpreter_are_exported() -> None:
    """Memory, descriptors, CPU, garbage collection."""
    names = set(families(Telemetry("1")))
    assert {"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds", "python_info"} <= names


@pytest.mark.parametrize("name", ['a "b"', "a\\b", "été", "{x}", "a,b=c", "# HELP x"])
def test_a_rule_name_is_an_unchanged_label(name: str) -> None:
    """Rule names are chosen by users and may contain any character."""
    telemetry = Telemetry("1")
    telemetry.route(name).decisions["allow", "ok"].value += 1
    assert value(telemetry, "enforcer_decisions_total", route=name, decision="allow", reason="ok") == 1


def test_counters_of_a_name_are_kept() -> None:
    """A reload with the same rules continues to count."""
    telemetry = Telemetry("1")
    assert telemetry.route("a") is telemetry.route("a")
    assert telemetry.upstream("a") is telemetry.upstream("a")
    assert telemetry.server("a") is telemetry.server("a")
    assert telemetry.route("a") is not telemetry.route("b")


@pytest.mark.parametrize("reason", Reason)
def test_every_decision_has_its_own_series(reason: Reason) -> None:
    """By decision and reason."""
    denied = Deny(reason)
    telemetry = Telemetry("1")
    for label in (denied.label, denied.reported):
        telemetry.route("r").decisions[label].value += 1
    ours = reason.startswith("introspection") or reason is Reason.TOO_MANY_PROOFS
    for decision in ("error" if ours else "deny", "would_deny"):
        assert value(telemetry, "enforcer_decisions_total", route="r", decision=decision, reason=str(reason)) == 1


def test_no_piece_of_an_exposition_grows_with_the_number_of_rules() -> None:
    """Requests are served between two pieces of a scrape."""
    telemetry = Telemetry("1")
    for number in range(1000):
        route = telemetry.route(f"rule {number}")
        route.requests[b"GET", 200].value += 1
        route.decisions["allow", "ok"].value += 1
        route.duration.observe(0.003)
    telemetry.loaded("abc")
    pieces = list(telemetry.pieces())
    assert len(pieces) > 3000
    assert max(map(len, pieces)) < 3000
