"""Generates the Grafana dashboard: rows of panels, each with its Prometheus queries.

Every query is filtered by the variables of the dashboard, with `$scope` for metrics without the label `route` and
`$routes` for metrics with it, and uses only metrics of docs/metrics.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILES = (
    Path(__file__).parent / "enforcer" / "dashboards" / "enforcer.json",
    Path(__file__).parents[1] / "k8s" / "components" / "monitoring" / "enforcer.json",
)

_SCOPE = 'namespace=~"$namespace",job=~"$job",pod=~"$pod"'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24
_HEIGHT = 8


@dataclass(frozen=True)
class Panel:
    """A panel: its title, its queries by legend, their unit, its description, and its width in columns of 24."""

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    description: str = ""
    width: int = 8
    kind: str = "timeseries"
    stacked: bool = False


def _quantile(quantile: float, metric: str, scope: str, *by: str) -> str:
    labels = ", ".join((*by, "le"))
    return f"histogram_quantile({quantile}, sum by ({labels}) (rate({metric}_bucket{{{scope}}}[$__rate_interval])))"


def _rate(metric: str, by: str = "", more: str = "", scope: str = "$scope") -> str:
    grouped = f"sum by ({by}) " if by else "sum "
    return f"{grouped}(rate({metric}{{{scope}{more}}}[$__rate_interval]))"


_ROWS: Mapping[str, Sequence[Panel]] = {
    "Traffic": (
        Panel(
            "Decisions",
            {"{{decision}}": _rate("enforcer_decisions_total", "decision", scope="$routes")},
            "reqps",
            "Requests per second: allowed, denied, and undecided because of an error.",
            stacked=True,
        ),
        Panel(
            "Responses",
            {"{{code}}": _rate("enforcer_requests_total", "code", scope="$routes")},
            "reqps",
            "By status; 499: the client closed the connection before the response.",
            stacked=True,
        ),
        Panel(
            "Duration",
            {f"p{n}": _quantile(n / 100, "enforcer_request_duration_seconds", "$routes") for n in (50, 95, 99)},
            "s",
            "From the request head to the end of the response, including the app's time and a long download.",
        ),
        Panel("Requests in flight", {"{{pod}}": "enforcer_requests_in_flight{$scope}"}),
        Panel("Client connections", {"{{pod}}": "enforcer_connections{$scope}"}),
        Panel("Requests by rule", {"{{route}}": _rate("enforcer_requests_total", "route", scope="$routes")}, "reqps"),
    ),
    "Refusals": (
        Panel(
            "Refusals by reason",
            {"{{reason}}": _rate("enforcer_decisions_total", "reason", ',decision="deny"', "$routes")},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Rules with most refusals",
            {
                "{{route}}": "topk(10, "
                + _rate("enforcer_decisions_total", "route", ',decision="deny"', "$routes")
                + ")"
            },
            "reqps",
        ),
        Panel(
            "Requests without a rule",
            {"{{pod}}": _rate("enforcer_decisions_total", "pod", ',reason="no_rule"')},
            "reqps",
            "Clients probe paths, or a rule is missing.",
        ),
        Panel(
            "Undecided requests",
            {"{{reason}}": _rate("enforcer_decisions_total", "reason", ',decision="error"', "$routes")},
            "reqps",
            "request_rejected: the request is malformed; all other reasons result in 503.",
            width=12,
        ),
        Panel(
            "Decision records that were dropped",
            {"{{pod}}": _rate("enforcer_decisions_left_out_total", "pod")},
            "reqps",
            "Standard error is read too slowly.",
            width=12,
        ),
    ),
    "Authorization servers": (
        Panel(
            "Introspections by result",
            {"{{server}} {{result}}": _rate("enforcer_introspection_requests_total", "server, result")},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Introspection duration",
            {
                f"{{{{server}}}} p{n}": _quantile(
                    n / 100, "enforcer_introspection_duration_seconds", "$scope", "server"
                )
                for n in (50, 99)
            },
            "s",
        ),
        Panel(
            "Circuit breaker open", {"{{server}} {{pod}}": "enforcer_introspection_circuit_open{$scope}"}, "bool_yes_no"
        ),
        Panel(
            "Fetches of keys, metadata, own tokens",
            {"{{server}} {{document}} {{result}}": _rate("enforcer_fetches_total", "server, document, result")},
            "reqps",
            width=24,
        ),
        Panel("Introspections in flight", {"{{pod}}": "enforcer_introspection_in_flight{$scope}"}),
        Panel(
            "Requests that shared an introspection",
            {"{{pod}}": _rate("enforcer_introspection_coalesced_total", "pod")},
            "reqps",
        ),
        Panel(
            "Share of requests that needed no introspection",
            {
                "hits": _rate("enforcer_cache_requests_total", more=',result=~"hit|negative_hit|stale_hit"')
                + " / "
                + _rate("enforcer_cache_requests_total")
            },
            "percentunit",
        ),
        Panel(
            "Cache lookups by result",
            {"{{result}}": _rate("enforcer_cache_requests_total", "result")},
            "reqps",
            "stale_hit: the authorization server did not respond, and the rule allows stale entries.",
            stacked=True,
        ),
        Panel("Cache entries", {"{{pod}}": "enforcer_cache_entries{$scope}"}),
        Panel(
            "Cache evictions",
            {"{{reason}}": _rate("enforcer_cache_evictions_total", "reason")},
            "ops",
            "capacity: the cache is full (cache.entries).",
        ),
    ),
    "Upstreams and overhead": (
        Panel(
            "Overhead of the enforcer",
            {f"p{n}": _quantile(n / 100, "enforcer_overhead_duration_seconds", "$scope") for n in (50, 95, 99)},
            "s",
            "From the request head until it is sent to the app, including waits for introspection or a connection.",
        ),
        Panel(
            "Upstream duration",
            {
                f"{{{{upstream}}}} p{n}": _quantile(n / 100, "enforcer_upstream_duration_seconds", "$scope", "upstream")
                for n in (50, 99)
            },
            "s",
        ),
        Panel(
            "Upstream responses",
            {"{{upstream}} {{code}}": _rate("enforcer_upstream_requests_total", "upstream, code")},
            "reqps",
            stacked=True,
        ),
        Panel(
            "Upstream errors",
            {"{{upstream}} {{reason}}": _rate("enforcer_upstream_errors_total", "upstream, reason")},
            "reqps",
            width=24,
        ),
    ),
    "Configuration": (
        Panel(
            "Pods by configuration",
            {"{{hash}}": "count by (hash) (enforcer_config_info{$scope})"},
            description="More than one for minutes: a change has not reached all pods, or a pod cannot load it.",
            width=6,
        ),
        Panel("Pods by version", {"{{version}}": "count by (version) (enforcer_build_info{$scope})"}, width=6),
        Panel(
            "Last successful reload",
            {"{{pod}}": "1000 * enforcer_config_last_reload_success_timestamp_seconds{$scope}"},
            "dateTimeAsIso",
            width=6,
            kind="stat",
        ),
        Panel(
            "Newest configuration in force",
            {"{{pod}}": "enforcer_config_last_reload_successful{$scope}"},
            "bool_yes_no",
            width=6,
            kind="stat",
        ),
    ),
    "Pods": (
        Panel("Ready", {"{{pod}}": "enforcer_ready{$scope}"}, "bool_yes_no", width=6),
        Panel("CPU", {"{{pod}}": _rate("process_cpu_seconds_total", "pod")}, "short", "In CPUs.", width=6),
        Panel("Memory", {"{{pod}}": "process_resident_memory_bytes{$scope}"}, "bytes", width=6),
        Panel(
            "Open descriptors",
            {"{{pod}}": "process_open_fds{$scope}", "limit": "min(process_max_fds{$scope})"},
            width=6,
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """Return the dashboard in Grafana's format."""
    return {
        "uid": "token-enforcer",
        "title": "Token enforcer",
        "tags": ["token-enforcer", "oauth"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "annotations": {"list": []},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    within = ""
    for label in ("namespace", "job", "pod"):
        yield _variable(label, f"label_values(enforcer_build_info{{{within}}}, {label})")
        within = f'{within},{label}=~"${label}"'.lstrip(",")
    yield _variable("route", f"label_values(enforcer_decisions_total{{{within}}}, route)")


def _variable(label: str, query: str) -> dict[str, Any]:
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": label},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number = line = 0
    for title, panels in _ROWS.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": line, "w": _WIDTH, "h": 1},
            "panels": [],
        }
        line += 1
        column = 0
        for panel in panels:
            if column + panel.width > _WIDTH:
                line += _HEIGHT
                column = 0
            number += 1
            yield _panel(number, panel, {"x": column, "y": line, "w": panel.width, "h": _HEIGHT})
            column += panel.width
        line += _HEIGHT


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    lines = {"fillOpacity": 20 if panel.stacked else 0, "showPoints": "never"}
    stacking = {"stacking": {"mode": "normal", "group": "A"}} if panel.stacked else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "custom": {**lines, **stacking} if panel.kind == "timeseries" else {}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if panel.kind == "timeseries" else {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.replace("$routes", f'{_SCOPE},route=~"$route"').replace("$scope", _SCOPE),
                "legendFormat": legend,
            }
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def derived() -> Iterator[tuple[Path, str]]:
    """Yield each file of the dashboard, the chart's and the kustomize component's, and its text."""
    text = json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
    for file in FILES:
        yield file, text
