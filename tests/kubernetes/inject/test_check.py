"""`--check` reports which workloads have the sidecar."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.injection import labelled, objects_after, options, results
from harness.kubernetes.manifests import deployment, pod_spec

from enforcer.kubernetes.inject.check import check_all
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.report import Result


@pytest.mark.parametrize(
    ("things", "result"),
    [
        ([deployment()], "missing"),
        ([deployment({"name": "app"})], "missing"),
        ([labelled(deployment({"name": "app"}), "disabled")], "skipped"),
        ([deployment(hostNetwork=True)], "missing"),
        (objects_after(inject_all([deployment()], options())), "injected"),
    ],
)
def test_each_workload_is_reported(things: Any, result: str) -> None:
    """A workload that cannot be injected is missing its sidecar; one that need not be is skipped."""
    outcome = check_all(things, options())
    assert results(outcome)[0] == ("deployment/app", result)
    assert outcome.has(Result.MISSING) is (result == "missing")


def test_a_sidecar_that_was_removed_by_hand_is_missing() -> None:
    """The status annotation is not proof of a sidecar."""
    things = objects_after(inject_all([deployment()], options()))
    pod_spec(things[0])["initContainers"] = []
    assert check_all(things, options()).has(Result.MISSING)
