"""The sidecar's container and volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.kubernetes.podsecurity import violations as pod_security
from harness.kubernetes.schemas import violations as schema

from enforcer.config.load import load_with_document
from enforcer.config.overrides import parse_override
from enforcer.kubernetes import names
from enforcer.kubernetes.sidecar import (
    LABELS,
    Mode,
    Resources,
    ServiceAccountToken,
    Sidecar,
    container,
    pod_annotations,
    redirect,
    volumes,
)

POLICY = Path(__file__).parent / "golden" / "policy.yaml"
APP = {
    "name": "app",
    "image": "app:1",
    "securityContext": {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


def sidecar(mode: Mode = Mode.PORT, *, native: bool = True, **more: Any) -> Sidecar:
    """Return a sidecar with the minimal settings and `more`."""
    return Sidecar(
        image="token-enforcer:1", mode=mode, native=native, app_port=8080, policy="rules", credentials="client", **more
    )


def pod(subject: Sidecar) -> dict[str, Any]:
    """Return a pod with the sidecar and an app."""
    init = [container(subject)] if subject.native else []
    if subject.mode is Mode.TRANSPARENT:
        init.insert(0, redirect(subject))
    containers = [APP] if subject.native else [container(subject), APP]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "labels": dict(LABELS), "annotations": pod_annotations("app", "checksum")},
        "spec": {"initContainers": init, "containers": containers, "volumes": volumes(subject)},
    }


EACH = [
    pytest.param(sidecar(mode, native=native, **more), id=f"{mode}-{'native' if native else 'classic'}-{index}")
    for mode in Mode
    for native in (True, False)
    for index, more in enumerate(
        (
            {},
            {
                "port_name": "http",
                "user": None,
                "log_level": "debug",
                "log_format": "json",
                "settings": {"cache.ttl": "5s"},
                "probes": "{}",
                "service_account_token": ServiceAccountToken(audience="authorization-server"),
                "resources": Resources(cpu_limit="1", memory_limit=None),
            },
        )
    )
]


@pytest.mark.parametrize("subject", EACH)
def test_the_pod_is_valid_in_every_version(subject: Sidecar) -> None:
    """Strictly: no version reports an unknown field."""
    assert list(schema(pod(subject))) == []


@pytest.mark.parametrize("subject", EACH)
def test_only_the_redirect_violates_pod_security_restricted(subject: Sidecar) -> None:
    """The redirect changes the pod's network, and needs root and one capability for it."""
    exceptions = [
        "enforcer-redirect: runAsUser is 0",
        "enforcer-redirect: adds the capability NET_ADMIN",
        "enforcer-redirect: runAsNonRoot is not true",
    ]
    assert list(pod_security(pod(subject))) == (exceptions if subject.mode is Mode.TRANSPARENT else [])


def values(subject: Sidecar) -> list[str]:
    """Return the values of the `--set` options."""
    command, file, *more = container(subject)["args"]
    assert (command, file) == ("run", f"{names.POLICY_FOLDER}/{subject.policy_key}")
    assert all(value.startswith("--set=") for value in more)
    return [value.removeprefix("--set=") for value in more]


@pytest.mark.parametrize(
    ("mode", "listener"), [(Mode.PORT, ":15080"), (Mode.LOOPBACK, "[$(POD_IPS)]:8080"), (Mode.TRANSPARENT, ":15080")]
)
def test_arguments_set_the_listener_and_the_upstream(mode: Mode, listener: str) -> None:
    """So that the same policy can be used in every mode."""
    assert values(sidecar(mode)) == [
        "timeouts.shutdown_delay=5s",
        "timeouts.drain=20s",
        f"listener.address={listener}",
        "admin.address=:15081",
        "upstream.url=http://127.0.0.1:8080",
    ]


@pytest.mark.parametrize(("scheme", "protocol"), [("http", None), ("http", "h2c"), ("https", "h2"), ("https", None)])
def test_the_arguments_are_valid_settings(scheme: str, protocol: str | None) -> None:
    """For every protocol of an app."""
    overrides = [parse_override(value) for value in values(sidecar(upstream_scheme=scheme, upstream_protocol=protocol))]
    config = load_with_document(POLICY, None, overrides)[0].config
    assert config.upstream is not None
    assert config.upstream.protocol == (protocol or "http1")


def test_settings_cannot_override_the_listener() -> None:
    """The last `--set` of a key wins, and the sidecar's own come last."""
    options = values(sidecar(settings={"listener.address": ":1", "cache.ttl": "5s"}))
    assert [value for value in options if value.startswith("listener.address=")] == ["listener.address=:15080"]
    assert "cache.ttl=5s" in options


def test_a_setting_is_escaped() -> None:
    """Kubernetes would replace $(POD_IPS) by the variable's value."""
    assert "challenge.realm=$$(POD_IPS) $$$$5" in values(sidecar(settings={"challenge.realm": "$(POD_IPS) $$5"}))


def test_only_mode_loopback_reads_the_pods_addresses() -> None:
    """Addresses of both IP families, as the value of POD_IPS."""
    fields = {
        mode: [
            variable["valueFrom"]["fieldRef"]["fieldPath"]
            for variable in container(sidecar(mode))["env"]
            if "value" not in variable
        ]
        for mode in Mode
    }
    assert fields == {Mode.PORT: [], Mode.LOOPBACK: ["status.podIPs"], Mode.TRANSPARENT: []}


@pytest.mark.parametrize(
    ("subject", "ports"),
    [
        (sidecar(port_name="http"), {"http": 15080, "enforcer-admin": 15081}),
        (sidecar(port_name=None), {"enforcer-proxy": 15080, "enforcer-admin": 15081}),
        (sidecar(Mode.LOOPBACK, port_name="http"), {"enforcer-admin": 15081}),
        (sidecar(Mode.TRANSPARENT, port_name="http"), {"enforcer-proxy": 15080, "enforcer-admin": 15081}),
    ],
)
def test_only_mode_port_takes_over_the_port_name(subject: Sidecar, ports: dict[str, int]) -> None:
    """In the other modes, Services reach the app's own port number."""
    assert {port["name"]: port["containerPort"] for port in container(subject)["ports"]} == ports


def test_readiness_and_liveness_are_separate() -> None:
    """A draining enforcer is not ready, but alive."""
    subject = container(sidecar())
    assert {key: subject[key]["httpGet"] for key in subject if key.endswith("Probe")} == {
        "startupProbe": {"path": "/readyz", "port": 15081},
        "livenessProbe": {"path": "/livez", "port": 15081},
        "readinessProbe": {"path": "/readyz", "port": 15081},
    }


def test_a_native_sidecar_restarts_and_has_a_hook() -> None:
    """A classic sidecar gets SIGTERM as soon as the pod ends; a hook starts the drain of a native one."""
    native, classic = container(sidecar()), container(sidecar(native=False))
    hook = {"preStop": {"exec": {"command": ["enforcer", "drain"]}}}
    assert native == {**classic, "restartPolicy": "Always", "lifecycle": hook}


def test_policy_and_credentials_are_folders() -> None:
    """A volume follows changes of its ConfigMap or Secret; a file that is mounted by `subPath` does not."""
    mounts = {mount["name"]: mount for mount in container(sidecar())["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in volumes(sidecar())}
    assert not any("subPath" in mount for mount in mounts.values())
    assert mounts[names.POLICY_VOLUME] == {"name": "enforcer-policy", "mountPath": "/etc/enforcer", "readOnly": True}


def test_an_unset_quantity_is_omitted() -> None:
    """A null would be an error."""
    none = Resources(cpu_request=None, memory_request=None, cpu_limit=None, memory_limit=None)
    assert container(sidecar(resources=none))["resources"] == {}
    assert container(sidecar())["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"memory": "768Mi"},
    }
