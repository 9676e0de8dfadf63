"""A pass handles each selected workload by its own settings, and reports rejected workloads."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.injection import labelled, options, results
from harness.kubernetes.manifests import deployment, template

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.check import check_all
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.prepare import prepare_all
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.selectors import parse_selector


def test_a_workload_that_cannot_be_injected_does_not_stop_the_others() -> None:
    """It is refused; objects that run no pods are unchanged."""
    things = [deployment(), deployment(hostNetwork=True, name="agent"), {"kind": "Secret", "metadata": {"name": "s"}}]
    outcome = inject_all(things, options(network_policy=False))
    assert results(outcome) == [
        ("deployment/app", "injected"),
        ("deployment/app", "warning"),
        ("deployment/agent", "refused"),
        ("secret/s", "unchanged"),
    ]
    assert outcome.objects[1:] == tuple(things[1:])


@pytest.mark.parametrize(
    ("more", "injected"),
    [
        ({}, {"app", "other"}),
        ({"selector": parse_selector("tier=front")}, {"other"}),
        ({"skipped_kinds": frozenset({"deployment"})}, set()),
    ],
)
def test_only_selected_workloads_are_handled(more: Any, injected: set[str]) -> None:
    """By labels and by kind."""
    other = deployment(name="other")
    other["metadata"]["labels"] = {"tier": "front"}
    outcome = inject_all([deployment(), other], options(**more))
    names_ = {line.name.removeprefix("deployment/") for line in outcome.report if line.result is Result.INJECTED}
    assert names_ == injected


def test_annotations_of_a_template_override_those_of_its_namespace() -> None:
    """Annotations of the workload itself are an error: they belong to the template of its pods."""
    namespace = {"kind": "Namespace", "metadata": {"name": "web", "annotations": {"enforcer.dev/mode": "loopback"}}}
    things = []
    for index, (namespace_name, mode) in enumerate([("web", None), ("web", "transparent"), ("other", None)]):
        workload = deployment(name=f"a{index}")
        workload["metadata"]["namespace"] = namespace_name
        if mode:
            template(workload)["metadata"]["annotations"] = {"enforcer.dev/mode": mode}
        things.append(workload)
    outcome = inject_all([namespace, *things], options())
    statuses = [template(thing)["metadata"]["annotations"][names.STATUS] for thing in outcome.objects[1:] if thing]
    assert [text.split('"mode":"')[1].split('"')[0] for text in statuses] == ["loopback", "transparent", "port"]
    things[0]["metadata"]["annotations"] = {"enforcer.dev/mode": "port"}
    assert ("deployment/a0", "refused") in results(inject_all(things, options()))


@pytest.mark.parametrize("act", [inject_all, prepare_all, check_all])
def test_a_workload_without_a_declared_port_is_left_open_with_a_warning(act: Any) -> None:
    """It may serve nevertheless. A workload that ends, or that is labelled `disabled`, is skipped."""
    outcome = act([deployment({"name": "app"})], options())
    (line,) = outcome.report
    assert line.result is (Result.MISSING if act is check_all else Result.WARNING)
    assert line.detail.startswith("no sidecar: no TCP port; name it with --port")
    job = {**deployment({"name": "app"}, restartPolicy="Never"), "apiVersion": "batch/v1", "kind": "Job"}
    assert results(act([job], options())) == [("job/app", "skipped")]
    disabled = labelled(deployment({"name": "app"}), "disabled")
    assert results(act([disabled], options())) == [("deployment/app", "skipped")]
    assert not act([deployment({"name": "app"})], options(port=8090)).has(Result.WARNING)
