"""docs/metrics.md and the exported metrics agree."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from enforcer.errors import IntrospectionFailure, UpstreamFailure
from enforcer.kubernetes.webhook.admission import OUTCOMES, AdmissionReason, Result
from enforcer.kubernetes.webhook.metrics import Metrics
from enforcer.policy.decision import Reason
from enforcer.share_report import SharedTable
from enforcer.telemetry import Telemetry
from enforcer.tokens.jwt.fault import JwtFault

PAGE = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(enforcer_\w+)` \| (\w+) \| ((?:`\w+`(?:, )?)*) ?\| \S.*\. \|$", re.MULTILINE)


def documented() -> list[tuple[str, str, set[str]]]:
    """Return name, type and labels of each metric in the table."""
    return [(name, kind, set(re.findall(r"\w+", labels))) for name, kind, labels in ROW.findall(PAGE)]


def exported() -> Iterator[tuple[str, str, set[str]]]:
    """Yield name, type and labels of each exported metric, with at least one series."""
    telemetry = Telemetry("1.2.3")
    route, upstream, server = telemetry.route("read"), telemetry.upstream("app"), telemetry.server("default")
    route.requests[b"GET", 200].value += 1
    route.decisions["allow", "ok"].value += 1
    route.ended_by_reload += 1
    telemetry.door("nginx").results["allow"] += 1
    telemetry.door("nginx").ignored["x-original-url"] += 1
    upstream.responses[200].value += 1
    upstream.errors["timeout"] += 1
    server.results["active"] += 1
    server.rejected["expired"] += 1
    server.fetches["keys"].results["ok"] += 1
    telemetry.cache_evictions = lambda: {"expired": 1}
    telemetry.admin_refusals = lambda: {"host": 1}
    telemetry.loaded("hash")
    metrics = Metrics("1.2.3")
    metrics.trusted({"authority": datetime(2026, 1, 1, tzinfo=UTC)})
    families = {
        family.name: family
        for exposition in (telemetry.exposition(), metrics.exposition())
        for family in text_string_to_metric_families(exposition.decode())
        if family.name.startswith("enforcer_") and not family.name.endswith("_created")
    }
    for family in families.values():
        yield name(family), family.type, {label for sample in family.samples for label in sample.labels} - {"le"}


def name(family: Metric) -> str:
    """Return the name of a metric in queries."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def test_exactly_the_exported_metrics_are_documented() -> None:
    """Once each, with name, type and labels."""
    assert sorted(documented(), key=str) == sorted(exported(), key=str)


def test_every_reason_of_the_webhook_is_documented() -> None:
    """In the row of its result."""
    for result, reasons in OUTCOMES.items():
        of = "`error` of a pod" if result is Result.ERROR else f"`{result}`"
        (row,) = re.findall(rf"^\| `reason` of {of} \| (.*) \|$", PAGE, re.MULTILINE)
        assert re.findall(r"`(\w+)`", row) == list(reasons)


@pytest.mark.parametrize(
    "values", [Reason, IntrospectionFailure, JwtFault, UpstreamFailure, SharedTable, Result, AdmissionReason]
)
def test_every_reason_is_documented(values: type[StrEnum]) -> None:
    """In the table of labels."""
    assert [value for value in values if f"`{value}`" not in PAGE] == []
