"""The kustomize manifests are valid and restricted, and equal to those of the chart."""

from __future__ import annotations

import tomllib
from base64 import b64decode
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from harness.kubernetes import podsecurity
from harness.kubernetes.charts import Object, objects, only, values, violations
from harness.kubernetes.network_policies import Peer, may_reach

from enforcer.cli import main
from enforcer.config.load import load_with_document
from enforcer.config.overrides import parse_override
from kustomize.rendering import INJECT, INJECTED, OVERLAYS, RENDERED, ROOT, SUMS, rendered, sums

each = pytest.mark.parametrize("name", OVERLAYS)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_rendered_files_are_current() -> None:
    """Neither the sources nor the rendered files have changed since the last `make k8s`."""
    assert SUMS.read_text("utf-8").splitlines() == list(sums()), "run: make k8s"
    assert {path.stem for path in RENDERED.glob("*.yaml")} == {*OVERLAYS}


@each
def test_every_object_is_strictly_valid(name: str) -> None:
    """An unknown field is an error."""
    assert violations(rendered(name)) == []


@each
def test_every_pod_is_restricted(name: str) -> None:
    """A namespace that enforces the level `restricted` accepts it."""
    pods = list(chain.from_iterable(map(podsecurity.pods, rendered(name))))
    assert pods
    assert list(chain.from_iterable(map(podsecurity.violations, pods))) == []


@each
def test_every_image_has_the_version_of_the_project(name: str) -> None:
    """The version label is the same."""
    for pod in chain.from_iterable(map(podsecurity.pods, rendered(name))):
        images = {container["image"] for container in containers(pod)}
        assert images == {f"token-enforcer:{PROJECT['version']}"}
        labels = pod["metadata"]["labels"]
        assert labels.get("app.kubernetes.io/version", PROJECT["version"]) == PROJECT["version"]


def containers(pod: Mapping[str, Any]) -> list[Object]:
    """Return all containers of a pod."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


@each
def test_the_enforcer_accepts_the_command_line_and_the_configuration(name: str, tmp_path: Path) -> None:
    """For every enforcer container, with the ConfigMap that its pod mounts; draining ends before the pod is killed."""
    manifests = rendered(name)
    enforcers = [
        (pod, container)
        for pod in chain.from_iterable(map(podsecurity.pods, manifests))
        for container in containers(pod)
        if container["name"] == "enforcer"
    ]
    assert enforcers
    for pod, container in enforcers:
        (volume,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "enforcer-policy"]
        config = only(manifests, "ConfigMap", volume["configMap"]["name"])["data"]["config.yaml"]
        path = tmp_path / "config.yaml"
        path.write_text(config, "utf-8")
        command, file, *settings = container["args"]
        assert (command, file) == ("run", "/etc/enforcer/config.yaml")
        # The certificate file does not exist here.
        values_ = [setting.removeprefix("--set=") for setting in settings if "/etc/enforcer-tls" not in setting]
        overrides = [parse_override(value.replace("$(POD_IPS)", "10.0.0.1,fd00::1")) for value in values_]
        loaded, _ = load_with_document(path, None, overrides)
        stop = loaded.config.timeouts.shutdown_delay + loaded.config.timeouts.drain
        assert stop < pod["spec"].get("terminationGracePeriodSeconds", 30)


def test_the_sidecar_overlay_is_the_output_of_the_injector(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte; `uninject` restores the demo's app."""
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(main, INJECT)
    assert (result.exit_code, result.stdout) == (0, INJECTED.read_text("utf-8")), "run: make k8s"
    restored = CliRunner().invoke(main, ["uninject", "--filename", str(INJECTED)])
    assert (restored.exit_code, restored.stdout) == (0, (ROOT / INJECT[2]).read_text("utf-8"))


def test_in_the_sidecar_overlay_the_ports_name_resolves_to_the_enforcer() -> None:
    """No other pod reaches the app's own port."""
    manifests = rendered("sidecar")
    pod = only(manifests, "Deployment", "country-app")["spec"]["template"]
    ports = {
        port["name"]: (container["name"], port["containerPort"])
        for container in containers(pod)
        for port in container["ports"]
    }
    (port,) = only(manifests, "Service", "country-app")["spec"]["ports"]
    assert ports[port["targetPort"]] == ("enforcer", 15080)
    policies = [thing for thing in manifests if thing["kind"] == "NetworkPolicy"]
    neighbour = Peer({"app": "neighbour"})
    reached = {port for port in (8090, 15080, 15081) if may_reach(policies, pod["metadata"]["labels"], port, neighbour)}
    assert reached == {15080}


def comparable(thing: Object) -> Object:
    """Return an object without Helm's own labels, and with configurations parsed."""
    thing = yaml.safe_load(yaml.safe_dump(thing))
    metadata = [thing["metadata"], *(pod["metadata"] for pod in podsecurity.pods(thing))]
    for part in metadata:
        part.pop("namespace", None)
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            part.get("labels", {}).pop(label, None)
    if thing["kind"] == "ConfigMap":
        config = yaml.safe_load(thing["data"]["config.yaml"])
        config["rules"] = [rule for rule in config["rules"] if rule["name"] != "helm test"]
        thing["data"]["config.yaml"] = config
    if thing["kind"] == "Secret":
        thing["metadata"].pop("labels", None)
        decoded = {key: b64decode(value).decode() for key, value in thing.pop("data", {}).items()}
        thing["stringData"] = {**decoded, **thing.get("stringData", {})}
    return thing


def test_the_demo_overlay_equals_the_charts_demo() -> None:
    """Object by object, except those of `helm test` and of the check before an installation."""

    def by_name(manifests: list[Object]) -> dict[tuple[str, str], Any]:
        return {(thing["kind"], thing["metadata"]["name"]): comparable(thing) for thing in manifests}

    chart = by_name(objects(values("demo")))
    for own in (
        ("Pod", "enforcer-test"),
        ("Secret", "user-client"),
        ("Job", "enforcer-check"),
        ("ConfigMap", "enforcer-check"),
    ):
        chart.pop(own)
    assert by_name(rendered("demo")) == chart


def test_production_admits_only_the_ingress_controller_and_the_monitoring() -> None:
    """In its own namespace, which accepts only restricted pods."""
    manifests = rendered("production")
    namespace = only(manifests, "Namespace")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    namespaced = [thing for thing in manifests if thing["kind"] != "Namespace"]
    assert {thing["metadata"]["namespace"] for thing in namespaced} == {namespace["name"]}
    labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    policies = [thing for thing in manifests if thing["kind"] == "NetworkPolicy"]
    for source in ("ingress-nginx", "monitoring", "elsewhere"):
        peer = Peer({}, source, {"kubernetes.io/metadata.name": source})
        reached = {port for port in (8091, 9091) if may_reach(policies, labels, port, peer, namespace["name"])}
        assert reached == {"ingress-nginx": {8091}, "monitoring": {9091}}.get(source, set())


def test_production_has_three_to_twenty_pods() -> None:
    """Only the autoscaler sets the number."""
    manifests = rendered("production")
    assert "replicas" not in only(manifests, "Deployment")["spec"]
    scaler = only(manifests, "HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 20)


def test_production_serves_tls() -> None:
    """With the Secret enforcer-tls, on a port called https."""
    manifests = rendered("production")
    (container,) = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["ports"][0]["name"] == "https"
    assert (
        "--set=listener.tls={certificate: /etc/enforcer-tls/tls.crt, key: /etc/enforcer-tls/tls.key}"
        in container["args"]
    )
    (port,) = only(manifests, "Service")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, "https")


def test_production_has_the_dashboard_and_the_alerts() -> None:
    """Equal to the files in k8s/components/monitoring, which the rendered file refers to."""
    manifests = rendered("production")
    folder = ROOT / "k8s" / "components" / "monitoring"
    dashboard = only(manifests, "ConfigMap", "enforcer-dashboard")["data"]
    assert dashboard == {"enforcer.json": (folder / "enforcer.json").read_text("utf-8")}
    rules = yaml.safe_load((folder / "prometheusrule.yaml").read_text("utf-8"))
    assert only(manifests, "PrometheusRule")["spec"] == rules["spec"]
