"""`enforcer uninject` removes the objects that an injection created."""

from __future__ import annotations

from harness.kubernetes.manifests import deployment, service

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.inject.uninjector import uninject_all


def test_only_objects_of_an_injection_are_removed() -> None:
    """A NetworkPolicy of the same name without our annotation stays."""
    ours = {"kind": "NetworkPolicy", "metadata": {"name": "n", "annotations": {names.INJECTED_BY: "x"}}}
    other = {"kind": "NetworkPolicy", "metadata": {"name": "n"}}
    outcome = uninject_all([ours, other, deployment(), service()])
    assert outcome.objects == (None, other, deployment(), service())
    assert outcome.has(Result.REMOVED)
