"""The report has a line for each reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from enforcer.kubernetes.verify.pods import AppPort
from enforcer.kubernetes.verify.report import as_json, as_text
from enforcer.kubernetes.verify.services import Endpoint
from enforcer.kubernetes.verify.verdicts import Finding, PortFinding, Verdict

PORT = AppPort(Endpoint("TCP", 80), container="app")
OPEN = PortFinding(PORT, "by x")
CLOSED = PortFinding(PORT, conditions=("a", "b"))


@pytest.mark.parametrize(
    ("verdict", "parts", "lines"),
    [
        (
            Verdict.OPEN,
            {"ports": (OPEN,), "faults": ("any",)},
            ["open         any", "open         TCP port 80 of app: by x"],
        ),
        (Verdict.CONDITIONAL, {"ports": (CLOSED, CLOSED)}, ["conditional  protected if a and b"]),
        (Verdict.PROTECTED, {"protected": {8080}}, ["protected    port 8080 only through the enforcer"]),
        (Verdict.PROTECTED, {}, ["protected    only through the enforcer"]),
        (Verdict.PORTLESS, {"notes": ("n",)}, ["portless     nothing in the manifests suggests", "note         n"]),
        (Verdict.EXCLUDED, {}, ["excluded     its pods are labelled enforcer.dev/inject: disabled"]),
    ],
)
def test_text_has_a_line_for_each_reason(verdict: Verdict, parts: Any, lines: list[str]) -> None:
    """With the workload's name, as kubectl accepts it."""
    finding = Finding(index=0, workload="deployment/a", namespace="b", verdict=verdict, **parts)
    text = [*as_text([finding])]
    assert len(text) == len(lines)
    assert all(line.startswith(f"deployment/a -n b  {start}") for line, start in zip(text, lines, strict=True))


def test_json_has_all_parts() -> None:
    """The opening's port, if it has one."""
    finding = Finding(
        index=0,
        workload="deployment/a",
        namespace=None,
        verdict=Verdict.OPEN,
        protected=frozenset({80}),
        ports=(OPEN, CLOSED),
        faults=("any",),
    )
    assert json.loads(as_json([finding]))["workloads"] == [
        {
            "workload": "deployment/a",
            "namespace": None,
            "verdict": "open",
            "protectedPorts": [80],
            "openings": [
                {"detail": "any"},
                {"detail": "TCP port 80 of app: by x", "port": 80, "protocol": "TCP", "container": "app"},
            ],
            "conditions": ["a", "b"],
            "notes": [],
        }
    ]
