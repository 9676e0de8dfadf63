"""The webhook's metrics and their exposition."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from enforcer.kubernetes.webhook.admission import OUTCOMES
from enforcer.kubernetes.webhook.metrics import EVENTS, LISTENERS, ROUNDS, Metrics
from enforcer.kubernetes.webhook.serving.refusals import REASONS

Series = tuple[str, frozenset[tuple[str, str]]]
EXPIRY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def series(metrics: Metrics) -> dict[Series, float]:
    """Parse the exposition: values by name, without the prefix, and labels."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    samples = [sample for family in families for sample in family.samples]
    return {
        (sample.name.removeprefix("enforcer_injector_"), frozenset(sample.labels.items())): sample.value
        for sample in samples
    }


def key(name: str, **labels: str) -> Series:
    return name, frozenset(labels.items())


def test_counters_exist_before_the_first_event(metrics: Metrics) -> None:
    """`rate` misses the first increment of a counter that appears with the value 1."""
    outcomes = [(result, reason) for result, reasons in OUTCOMES.items() for reason in reasons]
    expected = {key("admissions_total", result=result, reason=reason) for result, reason in outcomes}
    expected |= {key("events_total", result=result) for result in EVENTS}
    expected |= {key("trust_rounds_total", result=result) for result in ROUNDS}
    expected |= {
        key("refusals_total", listener=listener, reason=reason) for listener in LISTENERS for reason in REASONS.values()
    }
    values = series(metrics)
    assert {values[name] for name in expected} == {0.0}
    counters = ("admissions_total", "events_total", "refusals_total", "trust_rounds_total")
    assert {name for name in values if name[0] in counters} == expected


def test_a_review_is_counted_with_its_duration(metrics: Metrics) -> None:
    """The duration has no labels."""
    metrics.admitted("denied", "no_port", 0.02)
    metrics.admitted("injected", "ok", 0.2)
    values = series(metrics)
    assert values[key("admissions_total", result="denied", reason="no_port")] == 1
    assert values[key("admissions_total", result="injected", reason="ok")] == 1
    assert values[key("admissions_total", result="skipped", reason="not_wanted")] == 0
    assert values[key("admission_duration_seconds_count")] == 2
    assert values[key("admission_duration_seconds_sum")] == pytest.approx(0.22)
    assert values[key("admission_duration_seconds_bucket", le="0.025")] == 1


@pytest.mark.parametrize("result", EVENTS)
def test_an_event_is_counted_by_its_result(metrics: Metrics, result: str) -> None:
    """Only in the series of that result."""
    metrics.event(result)
    values = series(metrics)
    assert {name: values[key("events_total", result=name)] for name in EVENTS} == {
        name: float(name == result) for name in EVENTS
    }


def test_a_refusal_is_counted_by_listener_and_reason(metrics: Metrics) -> None:
    """Only in that series."""
    metrics.refused("reviews", "unauthenticated")
    values = series(metrics)
    assert values[key("refusals_total", listener="reviews", reason="unauthenticated")] == 1
    assert values[key("refusals_total", listener="admin", reason="unauthenticated")] == 0


def test_a_check_of_the_certificates_sets_when_they_expire(metrics: Metrics) -> None:
    """In seconds since 1970; a failed check leaves the former times."""
    metrics.trusted({"certificate": EXPIRY})
    metrics.trusted(None)
    values = series(metrics)
    assert values[key("trust_rounds_total", result="ok")] == 1
    assert values[key("trust_rounds_total", result="failed")] == 1
    assert values[key("certificate_not_after_timestamp_seconds", certificate="certificate")] == EXPIRY.timestamp()


def test_readiness_is_a_gauge(metrics: Metrics) -> None:
    """0 until `ready` is set."""
    assert series(metrics)[key("ready")] == 0
    metrics.ready = True
    assert series(metrics)[key("ready")] == 1


def test_the_exposition_has_the_version_and_the_process(metrics: Metrics) -> None:
    """As the enforcer's own metrics do."""
    values = series(metrics)
    assert values[key("enforcer_build_info", version="1.2.3")] == 1
    assert "process_cpu_seconds_total" in {name for name, _ in values}
    assert "python_gc_collections_total" in {name for name, _ in values}
