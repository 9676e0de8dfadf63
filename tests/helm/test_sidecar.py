"""The injector, the library chart and the kustomize components write the same sidecar."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from click.testing import CliRunner
from harness.kubernetes import podsecurity
from harness.kubernetes.charts import ROOT, Object, only, read, violations
from harness.kubernetes.network_policies import Peer, may_reach
from kustomize import rendering

from enforcer.cli import main
from enforcer.config.load import load_with_document
from enforcer.config.overrides import parse_override
from enforcer.kubernetes import names, sidecar
from enforcer.kubernetes.settings import VALUES
from enforcer.kubernetes.sidecar import Mode, Resources, ServiceAccountToken, Sidecar

VERSION = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]
IMAGE = f"token-enforcer:{VERSION}"
TEMPLATE = """\
{{- $all := dict "values" .Values.enforcer "app" .Values.app }}
native: {{- include "enforcer.sidecar.native" $all | nindent 2 }}
classic: {{- include "enforcer.sidecar.classic" $all | nindent 2 }}
redirect: {{- include "enforcer.sidecar.redirect" $all | nindent 2 }}
volumes: {{- include "enforcer.sidecar.volumes" $all | nindent 2 }}
labels: {{- include "enforcer.sidecar.labels" $all | nindent 2 }}
annotations: {{- include "enforcer.sidecar.annotations" $all | nindent 2 }}
{{- $selecting := dict "name" "country-app" "selector" (dict "app.kubernetes.io/name" "country-app") }}
networkPolicy: {{- include "enforcer.sidecar.networkPolicy" (merge $selecting $all) | nindent 2 }}
"""
NEEDED = {"policy": "policy", "credentialsSecret": "credentials"}
APP = {"container": "app", "port": 8080, "portName": "http"}
PROBE = {"httpGet": {"path": "/health", "port": 8080}, "timeoutSeconds": 2}

CASES: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "the defaults": ({}, {}),
    "loopback": ({"mode": "loopback"}, {"mode": Mode.LOOPBACK}),
    "transparent": ({"mode": "transparent"}, {"mode": Mode.TRANSPARENT}),
    "an image": (
        {"image": "r.example.org/e@sha256:0", "imagePullPolicy": "Always"},
        {"image": "r.example.org/e@sha256:0", "image_pull_policy": "Always"},
    ),
    "ports": ({"listenPort": 9000, "adminPort": 9001}, {"listen_port": 9000, "admin_port": 9001}),
    "a key of the policy": ({"policyKey": "rules.yaml"}, {"policy_key": "rules.yaml"}),
    "no user": ({"runAsUser": None}, {"user": None}),
    "another user": ({"runAsUser": 1000}, {"user": 1000}),
    "resources": (
        {"resources": {"requests": {"cpu": "1", "memory": None}, "limits": {"memory": "1Gi"}}},
        {"resources": Resources(cpu_request="1", memory_request=None, memory_limit="1Gi")},
    ),
    "no limits": ({"resources": {"limits": {"memory": None}}}, {"resources": Resources(memory_limit=None)}),
    "logs": ({"logLevel": "debug", "logFormat": "json"}, {"log_level": "debug", "log_format": "json"}),
    "times": ({"drainSeconds": 60, "waitBeforeExitSeconds": 0}, {"drain_seconds": 60, "wait_before_exit_seconds": 0}),
    "TLS to the app": ({"upstreamScheme": "https"}, {"upstream_scheme": "https"}),
    "settings": (
        {"config": {"cache": {"ttl": "5s"}, "challenge": {"realm": "a $(b) c"}}},
        {"settings": {"cache.ttl": '"5s"', "challenge.realm": '"a $(b) c"'}},
    ),
    "no report mode": ({"allowReportMode": False}, {"allow_report_mode": False}),
    "a token of the pod": (
        {"serviceAccountToken": {"audience": "https://auth.example.org"}},
        {"service_account_token": ServiceAccountToken(audience="https://auth.example.org")},
    ),
}
"""Values of the library, and the equivalent settings of the injector."""


def create_chart(folder: Path, template: str) -> helm_python.Chart:
    """Create a chart with one template that depends on the library."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: some\nversion: 1.0.0\n", "utf-8")
    (folder / "templates" / "all.yaml").write_text(template, "utf-8")
    shutil.copytree(ROOT / "enforcer-lib", folder / "charts" / "enforcer-lib")
    return helm_python.Chart.load(folder)


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> helm_python.Chart:
    """A chart that uses all templates of the library."""
    return create_chart(tmp_path_factory.mktemp("some") / "some", TEMPLATE)


def rendered(chart: helm_python.Chart, values: Mapping[str, Any], app: Mapping[str, Any] = APP) -> Object:
    """Render the library with these values."""
    chart_values = {"enforcer": {**NEEDED, **values}, "app": dict(app)}
    return dict(yaml.safe_load(chart.render(chart_values)["some/templates/all.yaml"]))


def injected(*, native: bool, port_name: str | None = "http", **changes: Any) -> Sidecar:
    """Return the injector's sidecar."""
    settings = {"image": IMAGE, "mode": Mode.PORT, "policy": "policy", "credentials": "credentials", **changes}
    return Sidecar(native=native, app_port=8080, port_name=port_name, **settings)


@pytest.mark.parametrize(("values", "changes"), CASES.values(), ids=CASES)
def test_the_library_writes_what_the_injector_writes(
    values: Mapping[str, Any], changes: Mapping[str, Any], chart: helm_python.Chart
) -> None:
    """Both kinds of container, the volumes, the labels, the annotations, and the redirect of mode transparent."""
    output = rendered(chart, values)
    native = injected(native=True, **changes)
    assert output["native"] == [sidecar.container(native)]
    assert output["classic"] == [sidecar.container(injected(native=False, **changes))]
    assert by_name(output["volumes"]) == by_name(sidecar.volumes(native))
    assert output["labels"] == dict(sidecar.LABELS)
    assert output["annotations"] == sidecar.pod_annotations("app")
    assert output["redirect"] == ([sidecar.redirect(native)] if native.mode is Mode.TRANSPARENT else None)


@pytest.mark.parametrize("mode", ["port", "loopback"])
def test_the_library_writes_the_injectors_network_policy(mode: str, chart: helm_python.Chart) -> None:
    """The specification and the name are equal."""
    app = str(ROOT.parent / "k8s" / "demo" / "country-app" / "country-app.yaml")
    result = CliRunner().invoke(main, ["inject", "--filename", app, "--mode", mode, "--network-policy", "--quiet"])
    theirs = only(list(read(result.stdout)), "NetworkPolicy")
    ours = rendered(chart, {"mode": mode}, {**APP, "port": 8090})["networkPolicy"]
    assert ours["spec"] == theirs["spec"]
    assert ours["metadata"]["name"] == theirs["metadata"]["name"]


def by_name(volumes: list[Object]) -> dict[str, Object]:
    """Return volumes by name: their order does not matter."""
    return {volume["name"]: volume for volume in volumes}


def test_the_library_stores_probes_as_the_injector_does(chart: helm_python.Chart) -> None:
    """Only in the modes in which the kubelet does not reach the app."""
    app = {**APP, "probes": {"readinessProbe": PROBE}}
    assert rendered(chart, {}, app)["native"] == [sidecar.container(injected(native=True))]
    (container,) = rendered(chart, {"mode": "loopback"}, app)["native"]
    stored = next(variable["value"] for variable in container["env"] if variable["name"] == names.PROBES)
    assert json.loads(stored) == {"app/readyz": {**PROBE, "port": 8080}}
    assert container == sidecar.container(injected(native=True, mode=Mode.LOOPBACK, probes=stored))


def test_the_library_has_the_values_of_the_injector(chart: helm_python.Chart) -> None:
    """`enforcer inject --set` uses the same names."""
    with pytest.raises(helm_python.HelmRenderError) as refused:
        rendered(chart, {"polcy": "a"})
    known = re.search(r'unknown key "polcy" in the enforcer.s values; known: (.*)', str(refused.value))
    assert known is not None
    theirs = {name.partition(".")[0] for name in VALUES}
    own = {"mode", "policy", "policyKey", "credentialsSecret", "config"}
    assert set(known[1].split(", ")) == theirs | own


@pytest.mark.parametrize(
    ("values", "app", "message"),
    [
        ({"mode": "sideways"}, APP, "port, loopback or transparent"),
        ({"policy": ""}, APP, "needs the value policy"),
        ({"credentialsSecret": ""}, APP, "needs the value credentialsSecret"),
        ({}, {"container": "app"}, "needs the app's port"),
        ({}, {"port": 8080, "portName": "http"}, "app.container"),
    ],
)
def test_the_library_refuses_invalid_values(
    values: Mapping[str, Any], app: Mapping[str, Any], message: str, chart: helm_python.Chart
) -> None:
    """With a message that names the value."""
    with pytest.raises(helm_python.HelmRenderError, match=message):
        rendered(chart, values, app)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> helm_python.Chart:
    """The example chart with the library, after `helm dependency build`."""
    folder = tmp_path_factory.mktemp("example") / "country-app"
    shutil.copytree(ROOT / "examples" / "country-app", folder)
    shutil.copytree(ROOT / "enforcer-lib", folder / "charts" / "enforcer-lib")
    report = helm_python.lint(folder, {}, strict=True, kube_version="v1.29.0", namespace="apps")
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    return helm_python.Chart.load(folder)


def render_example(example: helm_python.Chart, mode: str, version: str = "v1.33.0") -> list[Object]:
    """Render the example in a mode, for a version of Kubernetes."""
    (text,) = example.render({"enforcer": {"mode": mode}, "kubeVersion": version}, name="country-app").values()
    return list(read(text))


@pytest.mark.parametrize(
    ("mode", "version", "native"),
    [("port", "v1.31.9", False), ("port", "v1.32.0-gke.1", True), ("loopback", "v1.29.0", True)],
)
def test_the_example_is_valid_and_restricted(
    mode: str, version: str, native: bool, example: helm_python.Chart, tmp_path: Path
) -> None:
    """The enforcer accepts command line and policy. Before 1.32, Services do not find native sidecars by name."""
    things = render_example(example, mode, version)
    assert violations(things) == []
    (pod,) = chain.from_iterable(map(podsecurity.pods, things))
    assert list(podsecurity.violations(pod)) == []
    assert ("initContainers" in pod["spec"]) == native
    sidecars = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
    (enforcer,) = [container for container in sidecars if container["name"] == "enforcer"]
    path = tmp_path / "config.yaml"
    path.write_text(only(things, "ConfigMap")["data"]["config.yaml"], "utf-8")
    settings = [argument.removeprefix("--set=") for argument in enforcer["args"][2:]]
    overrides = [parse_override(argument.replace("$(POD_IPS)", "10.0.0.1,fd00::1")) for argument in settings]
    loaded, _ = load_with_document(path, None, overrides)
    stop = loaded.config.timeouts.shutdown_delay + loaded.config.timeouts.drain
    app = pod["spec"]["containers"][-1]
    assert app["lifecycle"]["preStop"]["sleep"]["seconds"] + stop < 60
    assert pod["spec"]["terminationGracePeriodSeconds"] == 60


def test_the_services_port_name_resolves_to_the_enforcer(example: helm_python.Chart) -> None:
    """In mode port, the Service's port name is the enforcer's, and the NetworkPolicy closes the app's own port."""
    things = render_example(example, "port")
    (pod,) = chain.from_iterable(map(podsecurity.pods, things))
    (port,) = only(things, "Service")["spec"]["ports"]
    named = {
        port["name"]: (container["name"], port["containerPort"])
        for container in [*pod["spec"]["containers"], *pod["spec"]["initContainers"]]
        for port in container["ports"]
    }
    assert named[port["targetPort"]] == ("enforcer", 15080)
    assert named["app-http"] == ("country-app", 8090)
    policies = [only(things, "NetworkPolicy")]
    labels = pod["metadata"]["labels"]
    assert may_reach(policies, labels, 15080, Peer(address="198.51.100.7"))
    assert not may_reach(policies, labels, 8090, Peer(address="198.51.100.7"))
    assert not may_reach(policies, labels, 15081, Peer(address="198.51.100.7"))
    assert may_reach(policies, labels, 15081, Peer({}, "m", {"kubernetes.io/metadata.name": "monitoring"}))


@pytest.mark.parametrize(
    ("component", "mode"), [("sidecar-component", Mode.PORT), ("loopback-component", Mode.LOOPBACK)]
)
def test_the_components_write_what_the_injector_writes(component: str, mode: Mode) -> None:
    """The sidecar comes first among the init containers; its volumes and labels are there."""
    things = rendering.rendered(component)
    pod = only(things, "Deployment")["spec"]["template"]
    settings: dict[str, Any] = {"policy": "enforcer-policy", "credentials": "enforcer-credentials", "mode": mode}
    expected = Sidecar(image=IMAGE, native=True, app_port=8090, **settings)
    assert pod["spec"]["initContainers"] == [sidecar.container(expected)]
    assert by_name(pod["spec"]["volumes"]) == by_name(sidecar.volumes(expected))
    assert sidecar.LABELS.items() <= pod["metadata"]["labels"].items()
    # A number, because before Kubernetes 1.32 a Service does not find a native sidecar by the name of its port.
    (port,) = only(things, "Service")["spec"]["ports"]
    assert port["targetPort"] == (15080 if mode is Mode.PORT else "http")


def test_the_library_has_the_version_of_the_project() -> None:
    """The chart's version and the image's."""
    chart = yaml.safe_load((ROOT / "enforcer-lib" / "Chart.yaml").read_text("utf-8"))
    assert chart["version"] == chart["appVersion"] == VERSION
