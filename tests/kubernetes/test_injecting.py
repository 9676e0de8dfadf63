"""Workloads and what belongs to them, injected together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, find, pod_spec, service, template

from enforcer.kubernetes import names
from enforcer.kubernetes.injecting import check_all, inject_all, prepare_all
from enforcer.kubernetes.manifests import Options, Outcome, uninject_all
from enforcer.kubernetes.report import Result
from enforcer.kubernetes.selectors import parse_selector
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode

UNNAMED = {"containerPort": 8080}


def options(mode: Mode = Mode.PORT, policy: Any = None, **more: Any) -> Options:
    known = {"force_service", "fix_hpa", "selector", "skipped_kinds", "version"}
    outer = {"version": (1, 33), **{name: value for name, value in more.items() if name in known}}
    inner = {name: value for name, value in more.items() if name not in known}
    settings = Settings(image="e:1", mode=mode, **inner)
    return Options(settings=settings, package="1", by="test", policy=policy, **outer)


def labelled(thing: Any, wanted: str) -> Any:
    """Say of a workload's pods whether they are injected."""
    template(thing)["metadata"]["labels"] = {"app": "app", names.INJECT: wanted}
    return thing


def told(outcome: Outcome) -> list[tuple[str, str]]:
    return [(line.thing, line.result.value) for line in outcome.report if line.result is not Result.NOTE]


def after(outcome: Outcome) -> list[Any]:
    return [one for one in outcome.objects if one is not None] + [one for _, one in outcome.added]


def test_each_workload_is_injected_for_itself() -> None:
    """One that cannot be does not keep others from it."""
    things = [deployment(), deployment(hostNetwork=True, name="agent"), {"kind": "Secret", "metadata": {"name": "s"}}]
    outcome = inject_all(things, options(network_policy=False))
    assert told(outcome) == [
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
def test_only_what_is_meant_is_looked_at(more: Any, injected: set[str]) -> None:
    """By labels, and by kind; the rest stays as it is."""
    other = deployment(name="other")
    other["metadata"]["labels"] = {"tier": "front"}
    outcome = inject_all([deployment(), other], options(**more))
    found = {line.thing.removeprefix("deployment/") for line in outcome.report if line.result is Result.INJECTED}
    assert found == injected


def test_a_namespace_says_it_for_its_workloads_and_a_template_for_itself() -> None:
    """The closer one counts; what stands at the workload itself is misplaced."""
    namespace = {"kind": "Namespace", "metadata": {"name": "web", "annotations": {"enforcer.dev/mode": "loopback"}}}
    things = []
    for at, (where, own) in enumerate([("web", None), ("web", "transparent"), ("other", None)]):
        one = deployment(name=f"a{at}")
        one["metadata"]["namespace"] = where
        if own:
            template(one)["metadata"]["annotations"] = {"enforcer.dev/mode": own}
        things.append(one)
    outcome = inject_all([namespace, *things], options())
    modes = [template(one)["metadata"]["annotations"][names.STATUS] for one in outcome.objects[1:] if one]
    assert [text.split('"mode":"')[1].split('"')[0] for text in modes] == ["loopback", "transparent", "port"]
    things[0]["metadata"]["annotations"] = {"enforcer.dev/mode": "port"}
    assert ("deployment/a0", "refused") in told(inject_all(things, options()))


def test_a_service_by_number_is_refused_prepared_and_injected() -> None:
    """The two steps, after which it is found by its name."""
    things = [deployment(container("app", UNNAMED)), service(8080)]
    refused = inject_all(things, options())
    assert told(refused) == [("deployment/app", "refused"), ("service/app", "unchanged")]
    assert list(refused.objects) == things
    prepared = after(prepare_all(things, options()))
    assert pod_spec(prepared[0])["containers"][0]["ports"] == [{"containerPort": 8080, "name": "http"}]
    assert prepared[1]["spec"]["ports"] == [{"port": 80, "targetPort": "http"}]
    injected = inject_all(prepared, options())
    assert not injected.has(Result.REFUSED)
    assert after(prepare_all(prepared, options())) == prepared


def test_a_service_that_was_turned_may_be_turned_again() -> None:
    """So that another run, for a new version, needs no force."""
    things = [deployment(container("app", UNNAMED)), service(8080)]
    forced = after(inject_all(things, options(force_service=True)))
    assert find(forced, "Service")["spec"]["ports"] == [{"port": 80, "targetPort": "http"}]
    again = inject_all(forced, options(image_pull_policy="Always"))
    assert not again.has(Result.REFUSED)
    assert find(after(again), "Service") == find(forced, "Service")


def test_what_was_wanted_before_does_not_linger() -> None:
    """Another mode has no use for the NetworkPolicy, nor for the name."""
    things = [deployment(container("app", UNNAMED)), service(8080)]
    forced = after(inject_all(things, options(force_service=True)))
    outcome = inject_all(forced, options(Mode.LOOPBACK))
    assert ("networkpolicy/app-enforcer", "removed") in told(outcome)
    assert find(after(outcome), "Service") == things[1]
    assert list(uninject_all(after(outcome)).objects) == things


def test_a_port_that_is_not_declared_is_prepared_by_declaring_it() -> None:
    """It is what a Service sends to."""
    prepared = after(prepare_all([deployment({"name": "app"}), service(9000)], options()))
    assert pod_spec(prepared[0])["containers"][0]["ports"] == [{"name": "http", "containerPort": 9000}]


@pytest.mark.parametrize("mode", [Mode.LOOPBACK, Mode.TRANSPARENT])
def test_other_modes_need_no_preparation(mode: Mode) -> None:
    """Any Service will do."""
    things = [deployment(container("app", UNNAMED)), service(8080)]
    assert list(prepare_all(things, options(mode)).objects) == things
    assert not inject_all(things, options(mode)).has(Result.REFUSED)


def test_a_policy_becomes_a_config_map_once() -> None:
    """For all that use it; its checksum is at the pods, so that another one is told from it."""
    policy = {"config.yaml": "rules: []\n", "ca.pem": "x"}
    things = [deployment(), deployment(name="other")]
    outcome = inject_all(things, options(policy=policy, policy_key="config.yaml"))
    made = [one for _, one in outcome.added if one["kind"] == "ConfigMap"]
    assert [(one["metadata"]["name"], one["data"]) for one in made] == [
        ("app-enforcer", policy),
        ("other-enforcer", policy),
    ]
    shared = inject_all(things, replace(options(policy=policy), settings=Settings(image="e:1", policy="p")))
    assert [one["metadata"]["name"] for _, one in shared.added if one["kind"] == "ConfigMap"] == ["p"]
    sums = {template(one)["metadata"]["annotations"][names.POLICY_CHECKSUM] for one in outcome.objects if one}
    assert len(sums) == 1


@pytest.mark.parametrize(
    ("data", "policy", "result"),
    [
        ({"config.yaml": "rules: []"}, None, "injected"),
        ({"other.yaml": ""}, None, "refused"),
        ({"config.yaml": ""}, {"config.yaml": ""}, "refused"),
    ],
)
def test_a_config_map_that_is_at_hand_is_the_policy(data: Any, policy: Any, result: str) -> None:
    """If it has the key, and is not to be made."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app-enforcer"}, "data": data}
    outcome = inject_all([config, deployment()], options(policy=policy))
    assert ("deployment/app", result) in told(outcome)
    assert ("configmap/app-enforcer", "unchanged") in told(outcome)


def test_a_policy_that_has_changed_takes_the_place_of_the_former() -> None:
    """In the object that was made for it."""
    first = after(inject_all([deployment()], options(policy={"config.yaml": "a"})))
    second = inject_all(first, options(policy={"config.yaml": "b"}))
    assert find(after(second), "ConfigMap")["data"] == {"config.yaml": "b"}
    assert second.added == ()
    kept = inject_all(first, options())
    assert find(after(kept), "ConfigMap")["data"] == {"config.yaml": "a"}
    assert template(after(kept)[0]) == template(first[0])


@pytest.mark.parametrize(
    ("things", "result"),
    [
        ([deployment()], "missing"),
        ([deployment({"name": "app"})], "missing"),
        ([labelled(deployment({"name": "app"}), "disabled")], "skipped"),
        ([deployment(hostNetwork=True)], "missing"),
        (after(inject_all([deployment()], options())), "injected"),
    ],
)
def test_the_check_tells_what_is_injected(things: Any, result: str) -> None:
    """What cannot be is missing, too; what need not be is not."""
    outcome = check_all(things, options())
    assert told(outcome)[0] == ("deployment/app", result)
    assert outcome.has(Result.MISSING) is (result == "missing")


@pytest.mark.parametrize("act", [inject_all, prepare_all, check_all])
def test_a_workload_that_names_no_port_is_left_open_with_a_word(act: Any) -> None:
    """It may serve all the same; what ends, or is to have no sidecar, need not name one."""
    outcome = act([deployment({"name": "app"})], options())
    (line,) = outcome.report
    assert line.result is (Result.MISSING if act is check_all else Result.WARNING)
    assert line.detail.startswith("no sidecar: no TCP port; name it with --port")
    job = {**deployment({"name": "app"}, restartPolicy="Never"), "apiVersion": "batch/v1", "kind": "Job"}
    assert told(act([job], options())) == [("job/app", "skipped")]
    assert told(act([labelled(deployment({"name": "app"}), "disabled")], options())) == [("deployment/app", "skipped")]
    assert not act([deployment({"name": "app"})], options(port=8090)).has(Result.WARNING)


def test_a_sidecar_that_somebody_took_out_is_missing() -> None:
    """Whatever the status says."""
    things = after(inject_all([deployment()], options()))
    pod_spec(things[0])["initContainers"] = []
    assert check_all(things, options()).has(Result.MISSING)
