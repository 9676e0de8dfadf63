"""Kubernetes accepts every object that the chart creates from each of its values files."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain
from pathlib import Path

import helm_python
import pytest
from harness.certificates import Authority
from harness.kubernetes import podsecurity
from harness.kubernetes.charts import CI, ENFORCER, Object, objects, only, refusal, texts, values, violations

from enforcer.cli.webhook import command as webhook
from enforcer.cli.webhook import settings_of
from enforcer.config.load import load_with_document
from enforcer.config.overrides import parse_override
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SELECTING = {"Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"}
POLICY = """\
upstream: {url: "http://app:8080"}
authorization_servers:
  - introspection_endpoint: http://auth/introspect
    client_id: {env: ENFORCER_CLIENT_ID}
    client_secret: {env: ENFORCER_CLIENT_SECRET}
rules: [{name: all, path: /**, authenticated: true}]
"""
"""Stands for a ConfigMap of somebody else."""
each = pytest.mark.parametrize("name", CI)
each_gateway = pytest.mark.parametrize("name", [name for name in CI if values(name).get("mode") != "injector"])


@each
def test_the_values_pass_lint(name: str) -> None:
    """Warnings are mistakes, on the oldest version and the newest. The schema takes them."""
    assert refusal(values(name)) == ""
    for version in ("v1.29.0", "v1.37.0"):
        report = helm_python.lint(ENFORCER, values(name), strict=True, kube_version=version, namespace="apps")
        assert [message for message in report["messages"] if message["severity"] > 1] == []


@each
def test_every_object_is_valid_to_the_letter(name: str) -> None:
    """An unknown field is a mistake."""
    assert violations(objects(values(name))) == []


@each
def test_every_pod_is_restricted(name: str) -> None:
    """That of `helm test` too."""
    pods = list(chain.from_iterable(map(podsecurity.pods, objects(values(name)))))
    assert list(chain.from_iterable(map(podsecurity.violations, pods))) == []
    assert len(pods) >= (2 if any(thing["kind"] == "Pod" for thing in objects(values(name))) else 1)


@each
def test_no_object_stands_twice_and_all_have_names(name: str) -> None:
    """Names are those of DNS labels."""
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in objects(values(name))]
    assert len(set(names)) == len(names)
    assert [found for found in names if not NAME.fullmatch(found[1])] == []


@each
def test_what_selects_pods_selects_those_of_the_deployment(name: str) -> None:
    """And nothing that a later version of the chart would change."""
    things = objects(values(name))
    for thing in filter(is_ours, things):
        if thing["kind"] in SELECTING:
            selector = selector_of(thing)
            labels = only_pod(things, component_of(thing))["metadata"]["labels"]
            assert selector.items() <= labels.items()
            assert set(selector) == {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")}


def is_ours(thing: Object) -> bool:
    """Return whether an object is the chart's own, not from extraObjects."""
    return "helm.sh/chart" in thing["metadata"].get("labels", {})


def component_of(thing: Object) -> str:
    """Return which part of the chart an object belongs to."""
    return str(thing["metadata"]["labels"]["app.kubernetes.io/component"])


def selector_of(thing: Object) -> dict[str, str]:
    """Return the labels that an object selects pods by."""
    spec = thing["spec"]
    if thing["kind"] == "Service":
        return dict(spec["selector"])
    return dict((spec.get("selector") or spec["podSelector"])["matchLabels"])


@each
def test_every_volume_that_is_mounted_is_there_and_every_one_there_is_mounted(name: str) -> None:
    """Secrets and the configuration are mounted as folders: a single mounted file is never updated."""
    for pod in chain.from_iterable(map(podsecurity.pods, objects(values(name)))):
        mounts = [mount for container in pod["spec"]["containers"] for mount in container.get("volumeMounts", ())]
        assert {mount["name"] for mount in mounts} == {volume["name"] for volume in pod["spec"].get("volumes", ())}
        assert [mount for mount in mounts if "subPath" in mount] == []


@each
def test_every_named_port_is_there(name: str) -> None:
    """Of probes and Services."""
    things = objects(values(name))
    for component in {component_of(thing) for thing in things if thing["kind"] == "Deployment" and is_ours(thing)}:
        container = only_pod(things, component)["spec"]["containers"][0]
        names = {port["name"] for port in container["ports"]}
        probes = [container[probe] for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
        wanted = {probe["httpGet"]["port"] for probe in probes}
        for thing in filter(is_ours, things):
            if thing["kind"] == "Service" and component_of(thing) == component:
                wanted |= {port["targetPort"] for port in thing["spec"]["ports"]}
        assert wanted <= names


def only_pod(things: list[Object], component: str = "gateway") -> Object:
    """Return the template of a component's pods."""
    deployments = (thing for thing in things if thing["kind"] == "Deployment" and is_ours(thing))
    return dict(next(thing for thing in deployments if component_of(thing) == component)["spec"]["template"])


def only_container(things: list[Object]) -> Object:
    """Return the enforcer's container."""
    return next(found for found in only_pod(things)["spec"]["containers"] if found["name"] == "enforcer")


@each_gateway
def test_the_command_line_and_the_configuration_are_what_the_enforcer_takes(name: str, tmp_path: Path) -> None:
    """Arguments set addresses and drain times, whatever the configuration contains."""
    things = objects(values(name))
    command, path, *settings = only_container(things)["args"]
    assert command == "run"
    text = POLICY
    for thing in things:
        text = thing["data"].get("config.yaml", text) if thing["kind"] == "ConfigMap" else text
    file = tmp_path / Path(path).name
    file.write_text(text.replace("/etc/enforcer-", f"{mounted(tmp_path)}/enforcer-"), "utf-8")
    loaded, _ = load_with_document(file, None, [parse_override(said.removeprefix("--set=")) for said in settings])
    assert loaded.config.listener.address == ":8091"
    assert loaded.config.admin.address == ":9091"
    assert (loaded.config.timeouts.shutdown_delay, loaded.config.timeouts.drain) == (5.0, 20.0)
    grace = only_pod(things)["spec"]["terminationGracePeriodSeconds"]
    assert loaded.config.timeouts.shutdown_delay + loaded.config.timeouts.drain < grace


def mounted(folder: Path) -> Path:
    """Lay out what the secrets for TLS hold, and the ConfigMap with rules."""
    authority = Authority(folder)
    certificate, key = authority.issue("app")
    for volume in ("enforcer-tls", "enforcer-upstream-tls", "enforcer-introspection-tls"):
        (folder / volume).mkdir()
        for name, source in {"ca.crt": authority.ca, "tls.crt": certificate, "tls.key": key}.items():
            (folder / volume / name).symlink_to(source)
    (folder / "enforcer-rules").mkdir()
    (folder / "enforcer-rules" / "app.yaml").write_text("rules: [{name: app, path: /app, public: true}]", "utf-8")
    return folder


def test_with_no_more_than_the_app_and_the_auth_server_it_refuses_everything() -> None:
    """The one rule is that of the test, and nobody has its scope."""
    config = only(objects(values("minimal")), "ConfigMap")["data"]["config.yaml"]
    assert config.count("path: ") == 1
    assert "path: /.well-known/enforcer-helm-test" in config
    assert "There are no rules yet" in texts(values("minimal"))["NOTES.txt"]


def test_secrets_are_files_and_nowhere_else() -> None:
    """Neither in the environment, nor in the configuration, nor in the notes."""
    for path, text in texts(values("minimal")).items():
        assert ("not-a-secret" in text) == (path == "secret.yaml")
    assert "env" not in only_container(objects(values("minimal")))


@pytest.mark.parametrize("name", ["injector", "both"])
def test_the_webhooks_command_line_is_what_it_takes(name: str) -> None:
    """Including the settings of all sidecars."""
    container = only_pod(objects(values(name)), "injector")["spec"]["containers"][0]
    command, *arguments = container["args"]
    assert command == "webhook"
    said = webhook.make_context("webhook", arguments).params
    settings = settings_of(said, said["values"])
    wanted = {**values(name).get("sidecar", {})}
    assert settings.image == container["image"]
    assert settings.mode == wanted.get("mode", "port")
    assert settings.policy == wanted.get("policyConfigMap")
    assert replace(settings, image="", mode=Mode.PORT, policy=None, credentials=None) == Settings(image="")
