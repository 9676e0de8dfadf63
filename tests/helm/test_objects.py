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
from harness.kubernetes.charts import (
    CI,
    ENFORCER,
    Object,
    Values,
    merged,
    objects,
    only,
    refusal,
    texts,
    values,
    violations,
)

from enforcer.cli.kubernetes.webhook import command as webhook
from enforcer.cli.kubernetes.webhook import settings_of
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
"""The content of a ConfigMap that the chart does not create."""
each = pytest.mark.parametrize("name", CI)
each_gateway = pytest.mark.parametrize("name", [name for name in CI if values(name).get("mode") != "injector"])


def test_the_defaults_pass_lint() -> None:
    """Although they lack an app and an authorization server: `helm lint` runs before anybody has set values."""
    report = helm_python.lint(ENFORCER, {}, strict=True, namespace="apps")
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@each
def test_the_values_pass_lint(name: str) -> None:
    """Without warnings, for the oldest and the newest version; the schema accepts them."""
    assert refusal(values(name)) == ""
    for version in ("v1.29.0", "v1.37.0"):
        report = helm_python.lint(ENFORCER, values(name), strict=True, kube_version=version, namespace="apps")
        assert [message for message in report["messages"] if message["severity"] > 1] == []


@each
def test_every_object_is_strictly_valid(name: str) -> None:
    """An unknown field is an error."""
    assert violations(objects(values(name))) == []


@each
def test_every_pod_is_restricted(name: str) -> None:
    """The pod of `helm test`, too."""
    pods = list(chain.from_iterable(map(podsecurity.pods, objects(values(name)))))
    assert list(chain.from_iterable(map(podsecurity.violations, pods))) == []
    assert len(pods) >= (2 if any(thing["kind"] == "Pod" for thing in objects(values(name))) else 1)


@each
def test_names_are_valid_and_unique(name: str) -> None:
    """Names are DNS labels."""
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in objects(values(name))]
    assert len(set(names)) == len(names)
    assert [name for _, name in names if not NAME.fullmatch(name)] == []


@each
def test_selectors_match_the_pods_of_the_deployment(name: str) -> None:
    """Selectors are immutable, so they use no label that a later version of the chart would change."""
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
def test_mounts_and_volumes_match(name: str) -> None:
    """Secrets and the configuration are mounted as folders: a single mounted file is never updated."""
    for pod in chain.from_iterable(map(podsecurity.pods, objects(values(name)))):
        mounts = [mount for container in pod["spec"]["containers"] for mount in container.get("volumeMounts", ())]
        assert {mount["name"] for mount in mounts} == {volume["name"] for volume in pod["spec"].get("volumes", ())}
        assert [mount for mount in mounts if "subPath" in mount] == []


@each
def test_every_port_name_exists(name: str) -> None:
    """Probes and Services refer to ports of the container by name."""
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
    return next(entry for entry in only_pod(things)["spec"]["containers"] if entry["name"] == "enforcer")


@each_gateway
def test_the_enforcer_accepts_the_command_line_and_the_configuration(name: str, tmp_path: Path) -> None:
    """Arguments set addresses and drain times, and override the configuration."""
    things = objects(values(name))
    command, path, *settings = only_container(things)["args"]
    assert command == "run"
    text = POLICY
    for thing in things:
        text = thing["data"].get("config.yaml", text) if thing["kind"] == "ConfigMap" else text
    file = tmp_path / Path(path).name
    file.write_text(text.replace("/etc/enforcer-", f"{mounted(tmp_path)}/enforcer-"), "utf-8")
    loaded, _ = load_with_document(file, None, [parse_override(setting.removeprefix("--set=")) for setting in settings])
    if "decision" in values(name):
        ports = [port["port"] for port in only(things, "Service", "enforcer")["spec"]["ports"]]
        assert [listener.address for listener in loaded.config.decision] == [f":{port}" for port in ports]
    else:
        assert (loaded.config.listener.address, loaded.config.decision) == (":8091", ())
    assert loaded.config.admin.address == ":9091"
    assert (loaded.config.timeouts.shutdown_delay, loaded.config.timeouts.drain) == (5.0, 20.0)
    grace = only_pod(things)["spec"]["terminationGracePeriodSeconds"]
    assert loaded.config.timeouts.shutdown_delay + loaded.config.timeouts.drain < grace


def mounted(folder: Path) -> Path:
    """Create the files of the TLS Secrets and of the ConfigMap with rules."""
    authority = Authority(folder)
    certificate, key = authority.issue("app")
    for volume in ("enforcer-tls", "enforcer-upstream-tls", "enforcer-introspection-tls"):
        (folder / volume).mkdir()
        for name, source in {"ca.crt": authority.ca, "tls.crt": certificate, "tls.key": key}.items():
            (folder / volume / name).symlink_to(source)
    (folder / "enforcer-rules").mkdir()
    (folder / "enforcer-rules" / "app.yaml").write_text("rules: [{name: app, path: /app, public: true}]", "utf-8")
    return folder


def test_the_minimal_values_deny_every_request() -> None:
    """The only rule is that of `helm test`, and no client has its scope."""
    config = only(objects(values("minimal")), "ConfigMap", "enforcer")["data"]["config.yaml"]
    assert config.count("path: ") == 1
    assert "path: /.well-known/enforcer-helm-test" in config
    assert "There are no rules yet" in texts(values("minimal"))["NOTES.txt"]


def test_secrets_are_only_in_files() -> None:
    """They are not in the environment, the configuration or the notes."""
    for path, text in texts(values("minimal")).items():
        assert ("not-a-secret" in text) == (path == "secret.yaml")
    assert "env" not in only_container(objects(values("minimal")))


PROVIDED = {"tls": {"mode": "provided", "existingSecret": "certificate", "caBundle": "text"}}
CLIENTS = {"clientCa": "text", "clientNames": ["apiserver"]}


@pytest.mark.parametrize(
    ("injector", "path", "keys"),
    [({}, None, True), (PROVIDED, None, True), (CLIENTS, "/inject", True), ({**PROVIDED, **CLIENTS}, "/inject", False)],
    ids=["by default", "provided certificate", "client certificates", "both"],
)
def test_the_webhook_sets_the_path_unless_client_certificates_are_used(
    injector: Values, path: str | None, keys: bool
) -> None:
    """A path in the chart would replace the secret one at each upgrade. Without own keys it may write nothing."""
    things = objects(merged(values("injector"), {"injector": injector}))
    services = [hook["clientConfig"]["service"] for hook in only(things, "MutatingWebhookConfiguration")["webhooks"]]
    assert {service.get("path") for service in services} == {path}
    verbs = {verb for rule in only(things, "ClusterRole")["rules"] for verb in rule["verbs"]}
    assert ("patch" in verbs) == keys
    assert [thing["metadata"]["name"] for thing in things if thing["kind"] == "Secret"] == (
        ["enforcer-injector-keys"] if keys else []
    )
    arguments = only_pod(things, "injector")["spec"]["containers"][0]["args"]
    assert ("--secret=enforcer-injector-keys" in arguments) == keys
    assert ("--client-name=apiserver" in arguments) == (path is not None)
    assert list(violations(things)) == []


@pytest.mark.parametrize("name", ["injector", "both"])
def test_the_webhook_accepts_its_command_line(name: str) -> None:
    """Including the settings of all sidecars."""
    container = only_pod(objects(values(name)), "injector")["spec"]["containers"][0]
    command, *arguments = container["args"]
    assert command == "webhook"
    options = webhook.make_context("webhook", arguments).params
    settings = settings_of(options, options["values"])
    wanted = {**values(name).get("sidecar", {})}
    assert settings.image == container["image"]
    assert settings.mode == wanted.get("mode", "port")
    assert settings.policy == wanted.get("policyConfigMap")
    assert replace(settings, image="", mode=Mode.PORT, policy=None, credentials=None) == Settings(image="")
