"""The sidecar's container and volumes."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.podsecurity import violations as pod_security
from harness.kubernetes.schemas import violations as schema

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
    """Make one with as little as can be."""
    return Sidecar(
        image="token-enforcer:1", mode=mode, native=native, app_port=8080, policy="rules", credentials="client", **more
    )


def pod(made: Sidecar) -> dict[str, Any]:
    """Put it into a pod beside an app."""
    init = [container(made)] if made.native else []
    if made.mode is Mode.TRANSPARENT:
        init.insert(0, redirect(made))
    containers = [APP] if made.native else [container(made), APP]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "labels": dict(LABELS), "annotations": pod_annotations("app", "checksum")},
        "spec": {"initContainers": init, "containers": containers, "volumes": volumes(made)},
    }


EACH = [
    pytest.param(sidecar(mode, native=native, **more), id=f"{mode}-{'native' if native else 'classic'}-{at}")
    for mode in Mode
    for native in (True, False)
    for at, more in enumerate(
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


@pytest.mark.parametrize("made", EACH)
def test_each_is_valid_in_every_version(made: Sidecar) -> None:
    """Strictly: no field that a version does not know."""
    assert list(schema(pod(made))) == []


@pytest.mark.parametrize("made", EACH)
def test_each_passes_pod_security_restricted_but_for_the_redirect(made: Sidecar) -> None:
    """That one changes the pod's network, which takes root and a capability, and no more than these."""
    exceptions = [
        "enforcer-redirect: runAsUser is 0",
        "enforcer-redirect: adds the capability NET_ADMIN",
        "enforcer-redirect: runAsNonRoot is not true",
    ]
    assert list(pod_security(pod(made))) == (exceptions if made.mode is Mode.TRANSPARENT else [])


def values(made: Sidecar) -> list[str]:
    """Return what `--set` says."""
    command, file, *more = container(made)["args"]
    assert (command, file) == ("run", f"{names.POLICY_FOLDER}/{made.policy_key}")
    assert all(value.startswith("--set=") for value in more)
    return [value.removeprefix("--set=") for value in more]


@pytest.mark.parametrize(
    ("mode", "listener"),
    [(Mode.PORT, ":15080"), (Mode.LOOPBACK, "[$(POD_IPS)]:8080"), (Mode.TRANSPARENT, ":15080")],
)
def test_it_is_told_where_to_listen_and_where_the_app_is(mode: Mode, listener: str) -> None:
    """So that one policy serves in every mode."""
    assert values(sidecar(mode)) == [
        "timeouts.shutdown_delay=5s",
        "timeouts.drain=20s",
        f"listener.address={listener}",
        "admin.address=:15081",
        "upstream.url=http://127.0.0.1:8080",
    ]


def test_nothing_else_can_say_where_it_listens() -> None:
    """The last `--set` of a key wins, and the sidecar's own come last."""
    said = values(sidecar(settings={"listener.address": ":1", "cache.ttl": "5s"}))
    assert [value for value in said if value.startswith("listener.address=")] == ["listener.address=:15080"]
    assert "cache.ttl=5s" in said


def test_a_setting_is_not_taken_for_a_variable() -> None:
    """Kubernetes would put the variable's value there."""
    assert "challenge.realm=$$(POD_IPS) $$$$5" in values(sidecar(settings={"challenge.realm": "$(POD_IPS) $$5"}))


def test_the_addresses_of_the_pod_are_there_where_they_are_used() -> None:
    """Of both IP families."""
    found = {
        mode: [
            one["valueFrom"]["fieldRef"]["fieldPath"] for one in container(sidecar(mode))["env"] if "value" not in one
        ]
        for mode in Mode
    }
    assert found == {Mode.PORT: [], Mode.LOOPBACK: ["status.podIPs"], Mode.TRANSPARENT: []}


@pytest.mark.parametrize(
    ("made", "ports"),
    [
        (sidecar(port_name="http"), {"http": 15080, "enforcer-admin": 15081}),
        (sidecar(port_name=None), {"enforcer-proxy": 15080, "enforcer-admin": 15081}),
        (sidecar(Mode.LOOPBACK, port_name="http"), {"enforcer-admin": 15081}),
        (sidecar(Mode.TRANSPARENT, port_name="http"), {"enforcer-proxy": 15080, "enforcer-admin": 15081}),
    ],
)
def test_only_mode_port_takes_over_the_name(made: Sidecar, ports: dict[str, int]) -> None:
    """In the others Services reach the app's own number."""
    assert {port["name"]: port["containerPort"] for port in container(made)["ports"]} == ports


def test_the_probes_have_meanings_of_their_own() -> None:
    """Draining is not ready, and yet alive."""
    made = container(sidecar())
    assert {key: made[key]["httpGet"] for key in made if key.endswith("Probe")} == {
        "startupProbe": {"path": "/readyz", "port": 15081},
        "livenessProbe": {"path": "/livez", "port": 15081},
        "readinessProbe": {"path": "/readyz", "port": 15081},
    }


def test_a_native_one_stays_and_is_told_of_the_end_and_a_classic_one_is_a_container_as_others() -> None:
    """The only difference is that a classic sidecar gets SIGTERM as soon as the pod ends."""
    native, classic = container(sidecar()), container(sidecar(native=False))
    hook = {"preStop": {"exec": {"command": ["enforcer", "drain"]}}}
    assert native == {**classic, "restartPolicy": "Always", "lifecycle": hook}


def test_policy_and_credentials_are_folders() -> None:
    """A file in a folder follows its ConfigMap or Secret; one mounted by `subPath` never does."""
    mounts = {mount["name"]: mount for mount in container(sidecar())["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in volumes(sidecar())}
    assert not any("subPath" in mount for mount in mounts.values())
    assert mounts[names.POLICY_VOLUME] == {"name": "enforcer-policy", "mountPath": "/etc/enforcer", "readOnly": True}


def test_a_quantity_that_is_not_given_is_left_out() -> None:
    """Nothing stands there as null, which would be an error."""
    none = Resources(cpu_request=None, memory_request=None, cpu_limit=None, memory_limit=None)
    assert container(sidecar(resources=none))["resources"] == {}
    assert container(sidecar())["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"memory": "256Mi"},
    }
