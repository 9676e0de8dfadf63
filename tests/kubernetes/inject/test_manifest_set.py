"""A manifest set collects the changes to objects and the report on them."""

from __future__ import annotations

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
