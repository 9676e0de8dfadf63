"""A pass handles each selected workload by its own settings, and reports rejected workloads."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.injection import labelled, options, results
from harness.kubernetes.manifests import container, deployment, service, template

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.check import check_all
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.prepare import prepare_all
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.selectors import parse_selector
from enforcer.kubernetes.workloads import all_containers


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


def test_the_label_of_a_workload_must_be_that_of_its_pods() -> None:
    """The webhook sees pods only: a label that their template lacks would have no effect."""
    workload = deployment()
    workload["metadata"]["labels"] = {names.INJECT: "disabled"}
    (line, *_) = inject_all([workload], options()).report
    assert (line.result, line.detail) == (
        Result.REFUSED,
        f"{names.INJECT}: disabled must be a label of its pod template",
    )
    template(workload)["metadata"]["labels"][names.INJECT] = "disabled"
    assert ("deployment/app", "skipped") in results(inject_all([workload], options()))


@pytest.mark.parametrize("act", [inject_all, prepare_all, check_all])
def test_a_running_workload_without_a_declared_port_is_refused(act: Any) -> None:
    """It may serve nevertheless, unprotected. A workload that ends, or that is labelled `disabled`, is skipped."""
    outcome = act([deployment({"name": "app"})], options())
    (line,) = outcome.report
    assert line.result is (Result.MISSING if act is check_all else Result.REFUSED)
    assert line.detail.startswith("no sidecar: no TCP port; name it with --port")
    job = {**deployment({"name": "app"}, restartPolicy="Never"), "apiVersion": "batch/v1", "kind": "Job"}
    assert results(act([job], options())) == [("job/app", "skipped")]
    disabled = labelled(deployment({"name": "app"}), "disabled")
    assert results(act([disabled], options())) == [("deployment/app", "skipped")]
    assert not act([deployment({"name": "app"})], options(port=8090)).has(Result.REFUSED)


@pytest.mark.parametrize(
    ("port", "result"),
    [("redis", "skipped"), ("https-webhook", "skipped"), ("grpc", "injected"), ("http", "injected"), ("x", "injected")],
)
def test_what_serves_no_http_is_left_alone(port: str, result: str) -> None:
    """An HTTP proxy would break a database; gRPC is HTTP/2."""
    things = [deployment(container("app", {"name": port, "containerPort": 8080}))]
    outcome = inject_all(things, options())
    assert results(outcome)[0] == ("deployment/app", result)
    if result != "injected":
        assert list(outcome.objects) == things


def shared(first: dict[str, Any], second: dict[str, Any], **more: Any) -> list[Any]:
    """Return two Deployments with these ports, and a Service for both."""
    pair = [deployment(container("app", port), name=name) for name, port in (("a", first), ("b", second))]
    for workload in pair:
        template(workload)["metadata"]["labels"]["part-of"] = "shop"
    return [*pair, service(8080, **{"selector": {"part-of": "shop"}, **more})]


@pytest.mark.parametrize("act", [inject_all, prepare_all])
def test_a_service_before_two_workloads_finds_both_by_one_name(act: Any) -> None:
    """A workload whose port has no name takes over that of the other."""
    named, unnamed = {"name": "web", "containerPort": 8080}, {"containerPort": 8080}
    for first, second in ((named, unnamed), (unnamed, named), (unnamed, unnamed), (named, named)):
        outcome = act(shared(first, second), options())
        assert not outcome.has(Result.REFUSED)
        target = outcome.objects[2]["spec"]["ports"][0]["targetPort"]
        for workload in outcome.objects[:2]:
            spec = workload["spec"]["template"]["spec"]
            assert sum(port.get("name") == target for each in all_containers(spec) for port in each["ports"]) == 1


@pytest.mark.parametrize("act", [inject_all, prepare_all])
def test_two_names_of_one_service_are_refused(act: Any) -> None:
    """The Service can have one target only: the other workload would get no more requests."""
    things = shared({"name": "web", "containerPort": 8080}, {"name": "http", "containerPort": 8080})
    outcome = act(things, options())
    assert [result for _, result in results(outcome)] == ["refused", "refused", "unchanged"]
    assert list(outcome.objects) == things
    assert '"web" in deployment/a, "http" in deployment/b' in outcome.report[0].detail


def test_a_service_that_also_leads_to_a_bare_workload_is_not_changed() -> None:
    """Its pods would get no more requests; a workload that does not have the port gets none before."""
    things = shared({"containerPort": 8080}, {"containerPort": 8080})
    template(things[1])["metadata"]["labels"][names.INJECT] = "disabled"
    outcome = inject_all(things, options())
    assert outcome.report[0].result is Result.REFUSED
    assert "service/app also leads to deployment/b" in outcome.report[0].detail
    assert list(outcome.objects) == things
    things = shared({"containerPort": 8080}, {"name": "redis", "containerPort": 6379})
    assert results(inject_all(things, options()))[0] == ("deployment/a", "injected")


def lines_of(things: Any, **more: Any) -> list[tuple[str, str]]:
    return [(line.name, line.result.value) for line in inject_all(things, options(**more)).report]


def test_a_selector_looks_at_the_pods_labels_too() -> None:
    """Those of the workload itself come first."""
    thing = deployment()
    for selector, result in (("app=app", "injected"), ("app=other", "skipped")):
        assert ("deployment/app", result) in lines_of([thing], selector=parse_selector(selector))


def test_options_that_select_nothing_are_reported() -> None:
    """A typo would leave the app bare."""
    wanted = options(selector=parse_selector("app=typo"))
    assert inject_all([deployment()], wanted).has(Result.REFUSED)
    assert check_all([deployment()], wanted).has(Result.MISSING)
    report = lines_of([deployment()], skipped_kinds=frozenset({"deamonset"}))
    assert ("--skip-kind deamonset", "warning") in report


@pytest.mark.parametrize(
    "thing",
    [
        {**deployment(), "apiVersion": "serving.knative.dev/v1", "kind": "Service"},
        {**deployment(), "apiVersion": "apps.openshift.io/v1", "kind": "DeploymentConfig"},
        {"apiVersion": "template.openshift.io/v1", "kind": "Template", "objects": [deployment()]},
        {"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [deployment()]},
    ],
)
def test_other_objects_that_run_pods_are_reported(thing: Any) -> None:
    """They are not unchanged as a ConfigMap is; `--check` fails for them, and --skip-kind excludes them."""
    assert inject_all([thing], options()).report[0].result is Result.WARNING
    assert check_all([thing], options()).has(Result.MISSING)
    skipped = options(skipped_kinds=frozenset({thing["kind"].lower()}))
    assert not inject_all([thing], skipped).has(Result.WARNING)


def test_a_workload_without_namespace_is_in_none_of_several() -> None:
    """Only Services without namespace are its own then; of one namespace, it may be in that."""
    things: list[Any] = [deployment(), *(service(8080, name=name) for name in ("a", "b", "own"))]
    things[1]["metadata"]["namespace"], things[2]["metadata"]["namespace"] = "one", "two"
    outcome = inject_all(things, options())
    assert outcome.objects[1:3] == tuple(things[1:3])
    assert outcome.objects[3] != things[3]
    outcome = inject_all(things[:2], options())
    assert outcome.objects[1] != things[1]
