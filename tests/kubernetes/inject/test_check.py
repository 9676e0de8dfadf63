"""`--check` reports which workloads are injected and protected."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.injection import labelled, objects_after, options, results
from harness.kubernetes.manifests import deployment, find, pod_spec, service

from enforcer.kubernetes.inject.check import check_all
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.sidecar import Mode


def injected(mode: Mode = Mode.PORT, **more: Any) -> list[Any]:
    """Return the objects after an injection: Deployment, Service, and NetworkPolicy in mode port."""
    return objects_after(inject_all([deployment(), service()], options(mode, **more)))


def sidecar(objects: list[Any]) -> Any:
    spec = pod_spec(objects[0])
    return next(each for each in [*spec["containers"], *spec["initContainers"]] if each["name"] == "enforcer")


def missing(objects: list[Any], **more: Any) -> list[str]:
    """Return the names and details of the lines that make the check fail."""
    report = check_all(objects, options(**more)).report
    return [f"{line.name}: {line.detail}" for line in report if line.result is Result.MISSING]


@pytest.mark.parametrize(
    ("things", "result"),
    [
        ([deployment()], "missing"),
        ([deployment({"name": "app"})], "missing"),
        ([labelled(deployment({"name": "app"}), "disabled")], "skipped"),
        ([deployment(hostNetwork=True)], "missing"),
        (injected(), "injected"),
        (injected(Mode.LOOPBACK), "injected"),
        (injected(Mode.TRANSPARENT), "injected"),
    ],
)
def test_each_workload_is_reported(things: Any, result: str) -> None:
    """A workload that cannot be injected is missing its sidecar; one that need not be is skipped."""
    outcome = check_all(things, options())
    assert results(outcome)[0] == ("deployment/app", result)
    assert outcome.has(Result.MISSING) is (result == "missing")


def test_a_sidecar_that_was_removed_by_hand_is_missing() -> None:
    """The status annotation is not proof of a sidecar."""
    things = injected()
    pod_spec(things[0])["initContainers"] = []
    assert check_all(things, options()).has(Result.MISSING)


def test_another_program_in_the_place_of_the_sidecar_is_missing() -> None:
    """Nor is the name of a container."""
    things = injected(Mode.LOOPBACK)
    sidecar(things)["image"] = "nginx"
    lines = missing(things)
    assert "deployment/app: by version 1, mode loopback, bypass open" in lines
    assert any("spec.template.spec.initContainers[0].image" in line for line in lines)


def test_an_image_in_an_annotation_is_not_trusted() -> None:
    """Only the one that the options name."""
    things = injected(Mode.LOOPBACK, image="other:1")
    assert missing(things)[0] == "deployment/app: by version 1, mode loopback, bypass open"
    assert missing(things, image="other:1") == []


def test_a_policy_that_is_gone_is_missing() -> None:
    """The bypass is open without it."""
    things = [thing for thing in injected() if thing["kind"] != "NetworkPolicy"]
    assert missing(things) == [
        "deployment/app: by version 1, mode port, bypass open",
        "networkpolicy/app-enforcer: `enforcer inject` adds it",
    ]


def test_a_policy_that_was_changed_is_missing() -> None:
    """Also if the bypass is still closed."""
    things = injected()
    find(things, "NetworkPolicy")["spec"]["ingress"].append({"ports": [{"port": 9999}]})
    line = "networkpolicy/app-enforcer: it is not as `enforcer inject` writes it: spec.ingress"
    assert missing(things) == [line]


def test_a_service_that_leads_to_the_app_again_is_missing() -> None:
    """Its clients would fail, or bypass the enforcer without a network that enforces policies."""
    things = objects_after(inject_all([deployment(), service(8080)], options()))
    find(things, "Service")["spec"]["ports"][0]["targetPort"] = 8080
    assert [line.partition(":")[0] for line in missing(things)] == ["service/app"]


def test_an_open_bypass_is_accepted_only_by_an_option() -> None:
    """Not by the options that the manifests carry, which anybody can edit."""
    things = injected(network_policy=False)
    assert missing(things) == ["deployment/app: by version 1, mode port, bypass open"]
    assert missing(things, network_policy=False) == []


def test_defaults_of_an_api_server_are_no_difference() -> None:
    """The input may come from `kubectl get`."""
    things = injected()
    sidecar(things)["terminationMessagePath"] = "/dev/termination-log"
    things[0]["spec"]["replicas"] = 1
    assert missing(things) == []


def test_manifests_of_another_version_are_verified_only() -> None:
    """A newer version may write another sidecar."""
    things = injected(Mode.LOOPBACK)
    annotations = things[0]["spec"]["template"]["metadata"]["annotations"]
    annotations["enforcer.dev/status"] = annotations["enforcer.dev/status"].replace('"version":"1"', '"version":"0"')
    assert missing(things) == []
    sidecar(things)["command"] = ["nginx"]
    assert missing(things) == ["deployment/app: by version 0, mode loopback, bypass open"]
