"""A manifest set collects the changes to objects and the report on them."""

from __future__ import annotations

import pytest
from harness.kubernetes.manifests import deployment, service

from enforcer.kubernetes.inject.manifest_set import ManifestSet
from enforcer.kubernetes.inject.report import Line, Result


def test_the_report_follows_the_order_of_the_objects() -> None:
    """Repeated lines are dropped; an object without a line is unchanged; a value without a kind is not reported."""
    manifests = ManifestSet([deployment(), {}, service()])
    manifests.report(2, Result.CHANGED, "x")
    manifests.report(2, Result.CHANGED, "x")
    manifests.report(0, Result.ADDED, name="networkpolicy/n")
    assert manifests.outcome().report == (
        Line("networkpolicy/n", Result.ADDED),
        Line("deployment/app", Result.UNCHANGED),
        Line("service/app", Result.CHANGED, "x"),
    )


def test_a_step_that_raises_leaves_nothing() -> None:
    """Neither changes nor lines: a Service of a refused workload stays as it is."""
    manifests = ManifestSet([{"kind": "Service"}])

    def step() -> None:
        manifests.change(0, {"kind": "Changed"}, "changed")
        manifests.put(0, {"kind": "Added", "metadata": {}})
        raise KeyError

    with pytest.raises(KeyError):
        manifests.attempt(step)
    outcome = manifests.outcome()
    assert (outcome.objects, outcome.added) == (({"kind": "Service"},), ())
    assert [line.result for line in outcome.report] == [Result.UNCHANGED]
