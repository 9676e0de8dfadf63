"""Generates the kustomize component's PrometheusRule from the chart's alerting rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

RULES = Path(__file__).parent / "enforcer" / "rules" / "enforcer.yaml"
FILE = Path(__file__).parents[1] / "k8s" / "components" / "monitoring" / "prometheusrule.yaml"

_HEAD = """\
# Generated from helm/enforcer/rules/enforcer.yaml by `make generated`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: enforcer
  labels:
    app.kubernetes.io/name: enforcer
    app.kubernetes.io/instance: enforcer
    app.kubernetes.io/component: gateway
    app.kubernetes.io/part-of: token-enforcer
    app.kubernetes.io/version: 0.1.0
spec:
"""


def derived() -> Iterator[tuple[Path, str]]:
    """Yield the component's file and its text."""
    _, start, groups = RULES.read_text("utf-8").partition("groups:\n")
    yield FILE, _HEAD + indent(start + groups, "  ")
