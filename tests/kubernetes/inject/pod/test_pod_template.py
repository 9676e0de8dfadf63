"""The sidecar in a pod's template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, pod_spec

from enforcer.kubernetes.inject.pod.pod_template import Plan, Version, choose_native, inject, make_sidecar
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import NotInjectableError, Reason, Workload, workload_of

PORT = Port("app", 8080, "http")


def workload(*containers: Any, **spec: Any) -> Workload:
    found = workload_of(deployment(*containers, **spec))
    assert found is not None
    return found


def plan(port: Port = PORT, version: Version = (1, 33), native: bool = True, **settings: Any) -> Plan:
    return Plan(
        settings=Settings(image="e:1", **settings), port=port, version=version, native=native, package="1", by="test"
    )


def injected(one: Workload, wanted: Plan) -> Any:
    """Inject, and return the pod's specification."""
    return inject(one.template, make_sidecar(one, wanted), wanted)["spec"]


def app(spec: Any) -> Any:
    return next(one for one in spec["containers"] if one["name"] == "app")


@pytest.mark.parametrize(
    ("version", "named", "wanted", "native"),
    [
        ((1, 28), False, None, False),
        ((1, 29), False, None, True),
        ((1, 29), True, None, False),
        ((1, 31), True, None, False),
        ((1, 32), True, None, True),
        ((2, 0), True, None, True),
        ((1, 33), True, False, False),
        ((1, 29), False, True, True),
    ],
)
def test_a_native_sidecar_is_chosen_where_it_is_found(
    version: Version, named: bool, wanted: bool | None, native: bool
) -> None:
    """Before 1.32 a Service finds none by the name of a port; before 1.29 there was none."""
    assert choose_native(workload(), Settings(image="e:1", native=wanted), version, named) is native


@pytest.mark.parametrize(
    ("version", "named", "wanted", "ends"),
    [
        *(((1, 28), False, True, False), ((1, 31), True, True, False)),
        *(((1, 28), False, None, True), ((1, 31), True, None, True), ((1, 33), False, False, True)),
    ],
)
def test_a_sidecar_that_would_be_in_vain_is_refused(
    version: Version, named: bool, wanted: bool | None, ends: bool
) -> None:
    """A sidecar that no Service finds, or that prevents a Job from completing."""
    one = Workload("Job" if ends else "Deployment", "a", None, (), {"spec": {}})
    with pytest.raises(NotInjectableError) as refused:
        choose_native(one, Settings(image="e:1", native=wanted), version, named)
    assert refused.value.reason is Reason.NEEDS_NATIVE


@pytest.mark.parametrize(
    ("mode", "native", "init", "containers"),
    [
        (Mode.PORT, True, ["enforcer", "migrate"], ["app", "log"]),
        (Mode.PORT, False, ["migrate"], ["enforcer", "app", "log"]),
        (Mode.TRANSPARENT, True, ["enforcer-redirect", "enforcer", "migrate"], ["app", "log"]),
        (Mode.TRANSPARENT, False, ["enforcer-redirect", "migrate"], ["enforcer", "app", "log"]),
    ],
)
def test_it_is_before_all_others(mode: Mode, native: bool, init: list[str], containers: list[str]) -> None:
    """So that it is there when the app starts; what leads to it comes first of all."""
    one = workload(container(), {"name": "log"}, initContainers=[{"name": "migrate"}])
    spec = injected(one, plan(native=native, mode=mode))
    assert [each["name"] for each in spec["initContainers"]] == init
    assert [each["name"] for each in spec["containers"]] == containers


def test_the_port_has_a_new_name_and_the_probes_follow() -> None:
    """In its own container; a port of that name elsewhere is another."""
    probe = {"httpGet": {"port": "http"}}
    one = workload(container(livenessProbe=probe), {"name": "log", "livenessProbe": probe})
    spec = injected(one, plan())
    assert app(spec)["ports"] == [{"name": "app-http", "containerPort": 8080}]
    assert app(spec)["livenessProbe"] == {"httpGet": {"port": "app-http"}}
    assert spec["containers"][1]["livenessProbe"] == probe
    assert spec["initContainers"][0]["ports"][0] == {"name": "http", "containerPort": 15080, "protocol": "TCP"}


@pytest.mark.parametrize("mode", [Mode.LOOPBACK, Mode.TRANSPARENT])
def test_the_port_keeps_its_name_where_its_number_stays(mode: Mode) -> None:
    """Services find it as before."""
    assert app(injected(workload(), plan(mode=mode)))["ports"] == [{"name": "http", "containerPort": 8080}]


@pytest.mark.parametrize(
    ("mode", "native", "taken"),
    [
        (Mode.PORT, True, set()),
        (Mode.LOOPBACK, True, {"app", "app-metrics", "other", "stays"}),
        (Mode.LOOPBACK, False, {"app", "app-metrics", "other"}),
        (Mode.TRANSPARENT, True, {"app", "other", "stays"}),
    ],
)
def test_probes_that_cannot_reach_their_port_are_taken_over(mode: Mode, native: bool, taken: set[str]) -> None:
    """Probes of the port, in any container; in mode loopback all of the app's, which may listen on 127.0.0.1 only.

    Another native sidecar starts before a classic enforcer, and would wait for it forever.
    """
    to_port, to_metrics = {"tcpSocket": {"port": 8080}}, {"tcpSocket": {"port": 9090}}
    staying = {"name": "stays", "restartPolicy": "Always", "livenessProbe": to_port}
    one = workload(
        container(livenessProbe=to_port, readinessProbe=to_metrics),
        {"name": "other", "livenessProbe": to_port, "readinessProbe": to_metrics},
        initContainers=[staying, {"name": "first"}],
    )
    spec = injected(one, plan(mode=mode, native=native))
    every = {each["name"]: each for each in (*spec["containers"], *spec["initContainers"])}
    probes = {
        "app": every["app"]["livenessProbe"],
        "app-metrics": every["app"]["readinessProbe"],
        "other": every["other"]["livenessProbe"],
        "other-metrics": every["other"]["readinessProbe"],
        "stays": every["stays"]["livenessProbe"],
    }
    assert {name for name, probe in probes.items() if "httpGet" in probe} == taken


def test_probes_are_left_where_that_is_wanted() -> None:
    """By the annotation for it."""
    probe = {"tcpSocket": {"port": 8080}}
    spec = injected(workload(container(livenessProbe=probe)), plan(mode=Mode.LOOPBACK, rewrite_probes=False))
    assert app(spec)["livenessProbe"] == probe


@pytest.mark.parametrize(
    ("lifecycle", "version", "wait", "hook"),
    [
        (None, (1, 29), 5, {"sleep": {"seconds": 7}}),
        ({"postStart": {}}, (1, 29), 7, {"sleep": {"seconds": 9}}),
        ({"preStop": {"exec": {}}}, (1, 33), 5, {"exec": {}}),
        (None, (1, 28), 5, None),
        (None, (1, 33), 0, None),
    ],
)
def test_the_app_waits_until_nobody_is_led_there(lifecycle: Any, version: Version, wait: int, hook: Any) -> None:
    """And longer than the enforcer takes requests, if it has no hook itself, and since there is one that waits."""
    one = workload(container(**({} if lifecycle is None else {"lifecycle": lifecycle})))
    spec = injected(one, plan(version=version, wait_before_exit_seconds=wait))
    assert app(spec).get("lifecycle", {}).get("preStop") == hook


@pytest.mark.parametrize(
    ("given", "drain", "time"), [(None, 20, 45), (None, 5, None), (20, 20, 45), (0, 1, 26), (60, 20, 60)]
)
def test_the_time_to_end_is_never_shortened(given: int | None, drain: int, time: int | None) -> None:
    """It is made to last for the wait, the drain and a margin; without a word it is 30 s."""
    one = workload(**({} if given is None else {"terminationGracePeriodSeconds": given}))
    assert injected(one, plan(drain_seconds=drain)).get("terminationGracePeriodSeconds") == time


@pytest.mark.parametrize(
    ("env", "result"),
    [
        (None, [{"name": "HOST", "value": "127.0.0.1"}]),
        ([{"name": "A", "value": "1"}], [{"name": "A", "value": "1"}, {"name": "HOST", "value": "127.0.0.1"}]),
        ([{"name": "HOST", "valueFrom": {}}], [{"name": "HOST", "value": "127.0.0.1"}]),
    ],
)
def test_the_app_is_told_where_to_listen(env: Any, result: Any) -> None:
    """With environment variables and arguments, only in mode loopback."""
    one = workload(container(args=["serve"], **({} if env is None else {"env": env})))
    wanted: Mapping[str, Any] = {"app_env": {"HOST": "127.0.0.1"}, "app_args": ("--local",)}
    told = app(injected(one, plan(mode=Mode.LOOPBACK, **wanted)))
    assert (told["env"], told["args"]) == (result, ["serve", "--local"])
    untold = app(injected(one, plan(**wanted)))
    assert (untold.get("env"), untold["args"]) == (env, ["serve"])


def test_metrics_of_the_app_are_passed_on() -> None:
    """From the address in the former annotations, which now name the admin port."""
    one = workload()
    annotations = {"prometheus.io/port": "8080", "prometheus.io/path": "/stats", "prometheus.io/scheme": "https"}
    one.template["metadata"]["annotations"] = annotations
    wanted = plan(scrape_passthrough=True)
    template = inject(one.template, make_sidecar(one, wanted), wanted)
    env = {entry["name"]: entry.get("value") for entry in template["spec"]["initContainers"][0]["env"]}
    assert env["ENFORCER_APP_METRICS"] == "https://127.0.0.1:8080/stats"
    told = {name: value for name, value in template["metadata"]["annotations"].items() if name in annotations}
    assert told == {"prometheus.io/port": "15081", "prometheus.io/path": "/app-metrics", "prometheus.io/scheme": "http"}
    assert make_sidecar(one, plan()).app_metrics is None
    annotations["prometheus.io/port"] = "9090"
    assert make_sidecar(one, wanted).app_metrics is None


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"op": "remove", "path": "/nothing"}, 'there is nothing at "/nothing"'),
        ({"op": "replace", "path": "/name", "value": "other"}, "must still be a container called enforcer"),
        ({"op": "replace", "path": "", "value": []}, "must still be a container called enforcer"),
    ],
)
def test_a_patch_must_leave_a_container_of_the_name(patch: Any, why: str) -> None:
    """By which it is found again."""
    with pytest.raises(NotInjectableError) as refused:
        injected(workload(), plan(container_patch=(patch,)))
    assert why in refused.value.detail


def test_a_patch_changes_the_container() -> None:
    """The way out for what no setting says."""
    patch = {"op": "add", "path": "/env/-", "value": {"name": "TZ", "value": "UTC"}}
    spec = injected(workload(), plan(container_patch=(patch,)))
    assert spec["initContainers"][0]["env"][-1] == {"name": "TZ", "value": "UTC"}


def test_a_privileged_port_cannot_be_listened_on() -> None:
    """In mode loopback the enforcer listens on the app's."""
    with pytest.raises(NotInjectableError) as refused:
        make_sidecar(workload(), plan(Port("app", 80, None), mode=Mode.LOOPBACK))
    assert refused.value.reason is Reason.PRIVILEGED_PORT
    assert make_sidecar(workload(), plan(Port("app", 80, None))).app_port == 80


def test_what_came_in_is_not_changed() -> None:
    """The result is a copy."""
    one = workload()
    before = repr(one)
    assert pod_spec({"kind": "Pod", **one.template}) != injected(one, plan())
    assert repr(one) == before
