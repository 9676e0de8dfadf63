"""`--prepare` names ports and has Services use the names; traffic does not change."""

from __future__ import annotations

import pytest
from harness.kubernetes.injection import objects_after, options, results
from harness.kubernetes.manifests import container, deployment, pod_spec, service

from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.prepare import prepare_all
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.sidecar import Mode

UNNAMED = {"containerPort": 8080}


@pytest.mark.parametrize("stored", [0, 1])
def test_a_running_service_by_number_is_refused_then_prepared_then_injected(stored: int) -> None:
    """After the preparation the Service finds the port by its name; preparing again changes nothing."""
    things = [deployment(container("app", UNNAMED)), service(8080)]
    things[stored]["metadata"]["resourceVersion"] = "7"
    refused = inject_all(things, options())
    assert results(refused) == [("deployment/app", "refused"), ("service/app", "unchanged")]
    assert list(refused.objects) == things
    prepared = objects_after(prepare_all(things, options()))
    assert pod_spec(prepared[0])["containers"][0]["ports"] == [{"containerPort": 8080, "name": "http"}]
    assert prepared[1]["spec"]["ports"] == [{"port": 80, "targetPort": "http"}]
    injected = inject_all(prepared, options())
    assert not injected.has(Result.REFUSED)
    assert objects_after(prepare_all(prepared, options())) == prepared


def test_a_first_installation_needs_one_step() -> None:
    """Nothing runs yet that could be interrupted; the report says what to do if it does."""
    outcome = inject_all([deployment(container("app", UNNAMED)), service(8080)], options())
    assert ("service/app", "changed") in results(outcome)
    assert [line.detail for line in outcome.report if line.result is Result.NOTE and line.name == "service/app"] == [
        "if its pods run already, use `--prepare` first"
    ]
    forced = inject_all([deployment(container("app", UNNAMED)), service(8080)], options(force_service=True))
    assert not any(line.name == "service/app" and line.result is Result.NOTE for line in forced.report)


def test_an_undeclared_port_is_declared() -> None:
    """It is the port that a Service sends to."""
    prepared = objects_after(prepare_all([deployment({"name": "app"}), service(9000)], options()))
    assert pod_spec(prepared[0])["containers"][0]["ports"] == [{"name": "http", "containerPort": 9000}]


@pytest.mark.parametrize("mode", [Mode.LOOPBACK, Mode.TRANSPARENT])
def test_other_modes_need_no_preparation(mode: Mode) -> None:
    """They work with any Service."""
    things = [deployment(container("app", UNNAMED)), service(8080)]
    assert list(prepare_all(things, options(mode)).objects) == things
    assert not inject_all(things, options(mode)).has(Result.REFUSED)
