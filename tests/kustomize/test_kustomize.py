"""The manifests for kustomize are valid, restricted, and those of the chart."""

from __future__ import annotations

import tomllib
from base64 import b64decode
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from harness.kubernetes import podsecurity
from harness.kubernetes.charts import Object, objects, only, read, values, violations
from harness.kubernetes.network_policies import Peer, may_reach

from enforcer.cli import main
from enforcer.config.load import load_with_document
from enforcer.config.overrides import parse_override
from kustomize.rendering import INJECT, INJECTED, OVERLAYS, RENDERED, ROOT, SUMS, sums

each = pytest.mark.parametrize("name", OVERLAYS)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def rendered(name: str) -> list[Object]:
    """Read what an overlay makes."""
    return list(read((RENDERED / f"{name}.yaml").read_text("utf-8")))


def test_what_was_rendered_is_current() -> None:
    """Neither what it is made from nor what was made has changed since."""
    assert SUMS.read_text("utf-8").splitlines() == list(sums()), "run: make k8s"
    assert {path.stem for path in RENDERED.glob("*.yaml")} == {*OVERLAYS}


@each
def test_every_object_is_valid_to_the_letter(name: str) -> None:
    """An unknown field is a mistake."""
    assert violations(rendered(name)) == []


@each
def test_every_pod_is_restricted(name: str) -> None:
    """Namespaces that enforce it take them."""
    pods = list(chain.from_iterable(map(podsecurity.pods, rendered(name))))
    assert pods
    assert list(chain.from_iterable(map(podsecurity.violations, pods))) == []


@each
def test_every_image_has_the_version_of_the_project(name: str) -> None:
    """And the label says the same."""
    for pod in chain.from_iterable(map(podsecurity.pods, rendered(name))):
        images = {container["image"] for container in containers(pod)}
        assert images == {f"token-enforcer:{PROJECT['version']}"}
        labels = pod["metadata"]["labels"]
        assert labels.get("app.kubernetes.io/version", PROJECT["version"]) == PROJECT["version"]


def containers(pod: Object) -> list[Object]:
    """Return all containers of a pod."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


@each
def test_the_command_line_and_the_configuration_are_what_the_enforcer_takes(name: str, tmp_path: Path) -> None:
    """Every enforcer among the containers, by the ConfigMap that its pod mounts."""
    things = rendered(name)
    found = [
        (pod, container)
        for pod in chain.from_iterable(map(podsecurity.pods, things))
        for container in containers(pod)
        if container["name"] == "enforcer"
    ]
    assert found
    for pod, container in found:
        (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "enforcer-policy"]
        config = only(things, "ConfigMap", volume["configMap"]["name"])["data"]["config.yaml"]
        path = tmp_path / "config.yaml"
        path.write_text(config, "utf-8")
        command, file, *settings = container["args"]
        assert (command, file) == ("run", "/etc/enforcer/config.yaml")
        # The certificate is not here.
        said = [one.removeprefix("--set=") for one in settings if "/etc/enforcer-tls" not in one]
        addressed = [parse_override(one.replace("$(POD_IPS)", "10.0.0.1,fd00::1")) for one in said]
        loaded, _ = load_with_document(path, None, addressed)
        stop = loaded.config.timeouts.shutdown_delay + loaded.config.timeouts.drain
        assert stop < pod["spec"].get("terminationGracePeriodSeconds", 30)


def test_the_sidecar_is_what_the_injector_makes_of_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the letter, and out again."""
    monkeypatch.chdir(ROOT)
    ended = CliRunner().invoke(main, INJECT)
    assert (ended.exit_code, ended.stdout) == (0, INJECTED.read_text("utf-8")), "run: make k8s"
    taken_out = CliRunner().invoke(main, ["uninject", "--filename", str(INJECTED)])
    assert (taken_out.exit_code, taken_out.stdout) == (0, (ROOT / INJECT[2]).read_text("utf-8"))


def test_in_the_sidecar_demo_the_name_of_the_port_leads_to_the_enforcer() -> None:
    """And nobody reaches the app's own port."""
    things = rendered("sidecar")
    pod = only(things, "Deployment", "country-app")["spec"]["template"]
    ports = {
        port["name"]: (container["name"], port["containerPort"])
        for container in containers(pod)
        for port in container["ports"]
    }
    (port,) = only(things, "Service", "country-app")["spec"]["ports"]
    assert ports[port["targetPort"]] == ("enforcer", 15080)
    policies = [thing for thing in things if thing["kind"] == "NetworkPolicy"]
    neighbour = Peer({"app": "neighbour"})
    reached = {port for port in (8090, 15080, 15081) if may_reach(policies, pod["metadata"]["labels"], port, neighbour)}
    assert reached == {15080}


def comparable(thing: Object) -> Object:
    """Return an object without what Helm writes of itself, and with configurations read."""
    thing = yaml.safe_load(yaml.safe_dump(thing))
    metadata = [thing["metadata"], *(pod["metadata"] for pod in podsecurity.pods(thing))]
    for one in metadata:
        one.pop("namespace", None)
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            one.get("labels", {}).pop(label, None)
    if thing["kind"] == "ConfigMap":
        config = yaml.safe_load(thing["data"]["config.yaml"])
        config["rules"] = [rule for rule in config["rules"] if rule["name"] != "helm test"]
        thing["data"]["config.yaml"] = config
    if thing["kind"] == "Secret":
        thing["metadata"].pop("labels", None)
        told = {key: b64decode(value).decode() for key, value in thing.pop("data", {}).items()}
        thing["stringData"] = {**told, **thing.get("stringData", {})}
    return thing


def test_the_demo_is_that_of_the_chart() -> None:
    """Object by object; but for the pod of `helm test`, and the client that it fetches tokens as."""

    def by_name(things: list[Object]) -> dict[tuple[str, str], Any]:
        return {(thing["kind"], thing["metadata"]["name"]): comparable(thing) for thing in things}

    chart = by_name(objects(values("demo")))
    for own in (("Pod", "enforcer-test"), ("Secret", "user-client")):
        chart.pop(own)
    assert by_name(rendered("demo")) == chart


def test_production_is_closed_to_all_but_the_ingress_and_the_monitoring() -> None:
    """In its own namespace, which takes restricted pods alone."""
    things = rendered("production")
    namespace = only(things, "Namespace")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    namespaced = [thing for thing in things if thing["kind"] != "Namespace"]
    assert {thing["metadata"]["namespace"] for thing in namespaced} == {namespace["name"]}
    labels = only(things, "Deployment")["spec"]["template"]["metadata"]["labels"]
    policies = [thing for thing in things if thing["kind"] == "NetworkPolicy"]
    for source in ("ingress-nginx", "monitoring", "elsewhere"):
        peer = Peer({}, source, {"kubernetes.io/metadata.name": source})
        reached = {port for port in (8091, 9091) if may_reach(policies, labels, port, peer, namespace["name"])}
        assert reached == {"ingress-nginx": {8091}, "monitoring": {9091}}.get(source, set())


def test_production_scales_from_three_pods_on() -> None:
    """The number is the autoscaler's alone."""
    things = rendered("production")
    assert "replicas" not in only(things, "Deployment")["spec"]
    scaler = only(things, "HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 20)


def test_production_serves_tls() -> None:
    """By the Secret enforcer-tls, on the port that is called so."""
    things = rendered("production")
    (container,) = only(things, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["ports"][0]["name"] == "https"
    assert (
        "--set=listener.tls={certificate: /etc/enforcer-tls/tls.crt, key: /etc/enforcer-tls/tls.key}"
        in container["args"]
    )
    (port,) = only(things, "Service")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, "https")
