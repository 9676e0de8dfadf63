"""The sidecar is added to a pod template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, pod_spec

from enforcer.kubernetes.inject.pod.pod_template import Context, Plan, Version, choose_native, inject, make_sidecar
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.inject.pod.protocols import Finding, Protocol
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import NotInjectableError, Reason, Workload, workload_of

PORT = Port("app", 8080, "http")


def workload(*containers: Any, **spec: Any) -> Workload:
    result = workload_of(deployment(*containers, **spec))
    assert result is not None
    return result


def plan(port: Port = PORT, version: Version = (1, 33), native: bool = True, **settings: Any) -> Plan:
    context = Context(version=version, package="1", by="test")
    wanted = Settings(image="e:1", **settings)
    return Plan(workload=workload(), settings=wanted, port=port, context=context, native=native)


def injected(subject: Workload, options: Plan) -> Any:
    """Inject, and return the pod's specification."""
    return inject(replace(options, workload=subject)).template["spec"]


def app(spec: Any) -> Any:
    return next(container for container in spec["containers"] if container["name"] == "app")


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
def test_a_native_sidecar_is_chosen_if_the_version_supports_it(
    version: Version, named: bool, wanted: bool | None, native: bool
) -> None:
    """Before 1.32, Services do not resolve port names of native sidecars; before 1.29, there are none."""
    assert choose_native(workload(), Settings(image="e:1", native=wanted), version, named) is native


@pytest.mark.parametrize(
    ("version", "named", "wanted", "ends"),
    [
        *(((1, 28), False, True, False), ((1, 31), True, True, False)),
        *(((1, 28), False, None, True), ((1, 31), True, None, True), ((1, 33), False, False, True)),
    ],
)
def test_a_sidecar_that_cannot_work_is_refused(version: Version, named: bool, wanted: bool | None, ends: bool) -> None:
    """A sidecar that no Service finds, or that prevents a Job from completing."""
    subject = Workload("Job" if ends else "Deployment", "a", None, (), {"spec": {}})
    with pytest.raises(NotInjectableError) as refused:
        choose_native(subject, Settings(image="e:1", native=wanted), version, named)
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
def test_the_sidecar_precedes_all_other_containers(
    mode: Mode, native: bool, init: list[str], containers: list[str]
) -> None:
    """It is ready when the app starts; the redirect comes first of all."""
    subject = workload(container(), {"name": "log"}, initContainers=[{"name": "migrate"}])
    spec = injected(subject, plan(native=native, mode=mode))
    assert [each["name"] for each in spec["initContainers"]] == init
    assert [each["name"] for each in spec["containers"]] == containers


def test_the_port_is_renamed_and_its_probes_follow() -> None:
    """Only in its own container: the same name in another container means another port."""
    probe = {"httpGet": {"port": "http"}}
    subject = workload(container(livenessProbe=probe), {"name": "log", "livenessProbe": probe})
    spec = injected(subject, plan())
    assert app(spec)["ports"] == [{"name": "app-http", "containerPort": 8080}]
    assert app(spec)["livenessProbe"] == {"httpGet": {"port": "app-http"}}
    assert spec["containers"][1]["livenessProbe"] == probe
    assert spec["initContainers"][0]["ports"][0] == {"name": "http", "containerPort": 15080, "protocol": "TCP"}


@pytest.mark.parametrize("mode", [Mode.LOOPBACK, Mode.TRANSPARENT])
def test_other_modes_keep_the_port_name(mode: Mode) -> None:
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
    subject = workload(
        container(livenessProbe=to_port, readinessProbe=to_metrics),
        {"name": "other", "livenessProbe": to_port, "readinessProbe": to_metrics},
        initContainers=[staying, {"name": "first"}],
    )
    spec = injected(subject, plan(mode=mode, native=native))
    containers = {each["name"]: each for each in (*spec["containers"], *spec["initContainers"])}
    probes = {
        "app": containers["app"]["livenessProbe"],
        "app-metrics": containers["app"]["readinessProbe"],
        "other": containers["other"]["livenessProbe"],
        "other-metrics": containers["other"]["readinessProbe"],
        "stays": containers["stays"]["livenessProbe"],
    }
    assert {name for name, probe in probes.items() if "httpGet" in probe} == taken


def test_probes_can_be_left_unchanged() -> None:
    """An annotation switches it off."""
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
def test_the_app_stops_after_the_enforcer(lifecycle: Any, version: Version, wait: int, hook: Any) -> None:
    """A preStop hook outlasts the enforcer's, if the app has no hook and the version supports `sleep`."""
    subject = workload(container(**({} if lifecycle is None else {"lifecycle": lifecycle})))
    spec = injected(subject, plan(version=version, wait_before_exit_seconds=wait))
    assert app(spec).get("lifecycle", {}).get("preStop") == hook


@pytest.mark.parametrize(
    ("original", "drain", "time"), [(None, 20, 45), (None, 5, None), (20, 20, 45), (0, 1, 26), (60, 20, 60)]
)
def test_the_grace_period_is_never_shortened(original: int | None, drain: int, time: int | None) -> None:
    """It is extended for the wait, the drain and a margin; default: 30 s."""
    subject = workload(**({} if original is None else {"terminationGracePeriodSeconds": original}))
    assert injected(subject, plan(drain_seconds=drain)).get("terminationGracePeriodSeconds") == time


@pytest.mark.parametrize(
    ("env", "result"),
    [
        (None, [{"name": "HOST", "value": "127.0.0.1"}]),
        ([{"name": "A", "value": "1"}], [{"name": "A", "value": "1"}, {"name": "HOST", "value": "127.0.0.1"}]),
        ([{"name": "HOST", "valueFrom": {}}], [{"name": "HOST", "value": "127.0.0.1"}]),
    ],
)
def test_the_app_gets_its_listening_address(env: Any, result: Any) -> None:
    """With environment variables and arguments, only in mode loopback."""
    subject = workload(container(args=["serve"], **({} if env is None else {"env": env})))
    wanted: Mapping[str, Any] = {"app_env": {"HOST": "127.0.0.1"}, "app_args": ("--local",)}
    loopback = app(injected(subject, plan(mode=Mode.LOOPBACK, **wanted)))
    assert (loopback["env"], loopback["args"]) == (result, ["serve", "--local"])
    otherwise = app(injected(subject, plan(**wanted)))
    assert (otherwise.get("env"), otherwise["args"]) == (env, ["serve"])


def test_the_apps_metrics_are_forwarded() -> None:
    """The enforcer reads them at the address of the former annotations, which now name its admin port."""
    subject = workload()
    annotations = {"prometheus.io/port": "8080", "prometheus.io/path": "/stats", "prometheus.io/scheme": "https"}
    subject.template["metadata"]["annotations"] = annotations
    wanted = replace(plan(scrape_passthrough=True), workload=subject)
    template = inject(wanted).template
    env = {entry["name"]: entry.get("value") for entry in template["spec"]["initContainers"][0]["env"]}
    assert env["ENFORCER_APP_METRICS"] == "https://127.0.0.1:8080/stats"
    changed = {name: value for name, value in template["metadata"]["annotations"].items() if name in annotations}
    assert changed == {
        "prometheus.io/port": "15081",
        "prometheus.io/path": "/app-metrics",
        "prometheus.io/scheme": "http",
    }
    assert make_sidecar(replace(plan(), workload=subject)).app_metrics is None
    annotations["prometheus.io/port"] = "9090"
    assert make_sidecar(wanted).app_metrics is None


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"op": "remove", "path": "/nothing"}, 'there is nothing at "/nothing"'),
        ({"op": "replace", "path": "/name", "value": "other"}, "must still be a container called enforcer"),
        ({"op": "replace", "path": "", "value": []}, "must still be a container called enforcer"),
    ],
)
def test_a_patch_must_keep_the_container_and_its_name(patch: Any, message: str) -> None:
    """The sidecar is found again by its name."""
    with pytest.raises(NotInjectableError) as refused:
        injected(workload(), plan(container_patch=(patch,)))
    assert message in refused.value.detail


def test_a_patch_changes_the_container() -> None:
    """A patch can set fields for which there is no setting."""
    patch = {"op": "add", "path": "/env/-", "value": {"name": "TZ", "value": "UTC"}}
    spec = injected(workload(), plan(container_patch=(patch,)))
    assert spec["initContainers"][0]["env"][-1] == {"name": "TZ", "value": "UTC"}


def test_the_enforcer_cannot_listen_on_a_privileged_port() -> None:
    """In mode loopback, the enforcer listens on the app's port."""
    with pytest.raises(NotInjectableError) as refused:
        make_sidecar(plan(Port("app", 80, None), mode=Mode.LOOPBACK))
    assert refused.value.reason is Reason.PRIVILEGED_PORT
    assert make_sidecar(plan(Port("app", 80, None))).app_port == 80


def test_the_input_is_not_modified() -> None:
    """The result is a copy."""
    subject = workload()
    before = repr(subject)
    assert pod_spec({"kind": "Pod", **subject.template}) != injected(subject, plan())
    assert repr(subject) == before


@pytest.mark.parametrize(
    ("protocol", "settings", "upstream"),
    [
        (Protocol.HTTP, {}, ("http", None)),
        (Protocol.HTTPS, {}, ("https", None)),
        (Protocol.HTTP2, {}, ("http", "h2c")),
        (Protocol.HTTP2_TLS, {}, ("https", "h2")),
        (Protocol.HTTP2, {"upstream_scheme": "https"}, ("https", "h2")),
        (Protocol.HTTP2_TLS, {"upstream_scheme": "http"}, ("http", "h2c")),
    ],
)
def test_the_enforcer_speaks_the_protocol_of_the_app(
    protocol: Protocol, settings: Any, upstream: tuple[str, str | None]
) -> None:
    """The user decides on TLS."""
    sidecar = make_sidecar(replace(plan(**settings), protocol=Finding(protocol)))
    assert (sidecar.upstream_scheme, sidecar.upstream_protocol) == upstream


def test_a_setting_of_the_user_decides_on_the_protocol() -> None:
    """An app may speak HTTP/1.1 at a port that is called `grpc`."""
    grpc = replace(plan(config={"upstream.protocol": '"http1"'}), protocol=Finding(Protocol.HTTP2))
    arguments = injected(workload(), grpc)["initContainers"][0]["args"]
    assert [each for each in arguments if "upstream.protocol" in each] == ['--set=upstream.protocol="http1"']
