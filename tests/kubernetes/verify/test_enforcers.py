"""The enforcer is recognized by image, command and configuration."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from enforcer.kubernetes.verify.enforcers import (
    DEFAULT_LISTENER,
    Enforcer,
    find_enforcers,
    is_enforcer_image,
    repository,
)
from enforcer.settings.connections.servers import Listener

SET = ["--set=listener.address=:15080", "--set=admin.address=:15081", "--set=upstream.url=http://127.0.0.1:8080"]
MOUNT: Any = {"volumeMounts": [{"name": "policy", "mountPath": "/etc/enforcer"}]}
VOLUMES = [{"name": "policy", "configMap": {"name": "policy"}}]


def enforcers(*arguments: str, configs: Any = None, **container: Any) -> list[Enforcer]:
    """Return the enforcers in a pod with one container of the enforcer's image."""
    only = {
        "name": "c",
        "image": "x/token-enforcer:1",
        "command": ["enforcer"],
        "args": ["run", *arguments],
        **container,
    }
    return list(find_enforcers({"containers": [only], "volumes": VOLUMES}, configs or {}))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("e", "e"),
        ("e:1", "e"),
        ("host:5000/a/e", "host:5000/a/e"),
        ("host:5000/a/e:1@sha256:00", "host:5000/a/e"),
        ("e@sha256:00", "e"),
    ],
)
def test_a_repository_has_no_tag(image: str, expected: str) -> None:
    """And no digest; the port of a registry stays."""
    assert repository(image) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("token-enforcer:1", True),
        ("host:5000/a/token-enforcer@sha256:00", True),
        ("mine/e:2", True),
        ("other/e:2", False),
        ("token-enforcer-proxy:1", False),
        ("token-enforcer/nginx", False),
        (None, False),
    ],
)
def test_an_image_is_known_by_its_repository(image: Any, expected: bool) -> None:
    """By the last part of its name, or as a whole if it was given."""
    assert is_enforcer_image(image, {"mine/e"}) is expected


def test_the_ports_are_in_the_arguments() -> None:
    """The last value of a key counts, in both ways of writing it."""
    (proxy,) = enforcers("c.yaml", *SET, "--set", "listener.address=0.0.0.0:15090")
    assert (proxy.listen, proxy.admin, proxy.upstreams) == (15090, 15081, frozenset({8080}))


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "[::1]:8080", "localhost:8080", "10.0.0.1:8080", "$(X):8080"])
def test_a_listener_elsewhere_is_none(address: str) -> None:
    """Clients do not reach it at every address of the pod."""
    assert enforcers("c.yaml", *SET, f"--set=listener.address={address}")[0].listen is None


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("http://localhost:8080", {8080}),
        ("https://[::1]:8443", {8443}),
        ("http://127.0.0.1", {80}),
        ("http://app:8080", set()),
        ("unix:/run/app.sock", set()),
        ("nonsense", set()),
    ],
)
def test_only_ports_of_the_pod_are_protected(url: str, ports: set[int]) -> None:
    """The app of a gateway is elsewhere."""
    assert enforcers("c.yaml", *SET, f"--set=upstream.url={url}")[0].upstreams == ports


def test_the_configuration_is_read_from_its_config_map() -> None:
    """Settings that no override sets are there."""
    text = "listener: {address: ':8091'}\nupstreams: {a: {url: 'http://127.0.0.1:8080'}}\nmode: report\n"
    configs = {"policy": {"data": {"config.yaml": text}}}
    (proxy,) = enforcers("/etc/enforcer/config.yaml", configs=configs, **MOUNT)
    assert (proxy.listen, proxy.upstreams, proxy.reporting, proxy.unknown) == (
        8091,
        frozenset({8080}),
        ("mode: report",),
        (),
    )


@pytest.mark.parametrize(
    ("configs", "reason"),
    [
        ({}, "configmap/policy with its policy is not among the objects"),
        ({"policy": {"data": {"other.yaml": ""}}}, "configmap/policy has no key config.yaml"),
        ({"policy": {"data": {"config.yaml": "]"}}}, "/etc/enforcer/config.yaml is not readable"),
    ],
)
def test_a_configuration_that_is_not_known_is_reported(configs: Any, reason: str) -> None:
    """Then the port is not the default, either."""
    (proxy,) = enforcers("/etc/enforcer/config.yaml", configs=configs, **MOUNT)
    assert (proxy.listen, proxy.unknown) == (None, (reason,))


def test_a_file_that_an_expression_chooses_is_not_known() -> None:
    """It may be any file of the volume."""
    mounted = {"volumeMounts": [{**MOUNT["volumeMounts"][0], "subPathExpr": "$(PART)"}]}
    configs = {"policy": {"data": {"config.yaml": "mode: enforce"}}}
    (proxy,) = enforcers("/etc/enforcer/config.yaml", configs=configs, **mounted)
    assert proxy.unknown == ("subPathExpr chooses the file of configmap/policy",)


@pytest.mark.parametrize(
    ("entry", "is_known"),
    [("more", True), (".", True), ("more/*.yaml", True), ("/etc/enforcer/more/a.yaml", True), ("/etc/rules", False)],
)
def test_rule_files_that_are_not_known_are_reported(entry: str, is_known: bool) -> None:
    """Their rules may be in report mode."""
    configs = {"policy": {"data": {"config.yaml": f"rule_files: ['{entry}']", "more/a.yaml": "rules: []"}}}
    (proxy,) = enforcers("/etc/enforcer/config.yaml", configs=configs, **MOUNT)
    assert proxy.unknown == (() if is_known else (f"its rule files {entry} are in no ConfigMap",))


def test_a_configuration_may_be_written_as_base64() -> None:
    """The pods get the same file."""
    written = {"config.yaml": b64encode(b"mode: report").decode(), "other": "?"}
    (proxy,) = enforcers("/etc/enforcer/config.yaml", configs={"policy": {"binaryData": written}}, **MOUNT)
    assert (proxy.reporting, proxy.unknown) == (("mode: report",), ())


@pytest.mark.parametrize("argument", ["--verbose", "--set=nonsense"])
def test_an_unknown_argument_is_reported(argument: str) -> None:
    """It is not ignored."""
    assert argument.removeprefix("--set=") in enforcers("c.yaml", *SET, argument)[0].unknown[0]


@pytest.mark.parametrize(
    "container",
    [
        {"command": "enforcer"},
        {"command": ["enforcer", 1]},
        {"command": ["sh", "-c", "enforcer"]},
        {"args": ["drain"]},
        {"image": 1},
        {"env": [{"name": "PYTHONPATH", "value": "/data"}]},
        {"env": [{"name": "LD_PRELOAD", "value": "/data/a.so"}]},
        {"env": [{"name": "PATH", "value": "/data"}]},
        {"command": ["./enforcer"]},
        {"command": ["/data/enforcer"], "volumeMounts": [{"name": "data", "mountPath": "/data/"}]},
        {"volumeMounts": [{"name": "data", "mountPath": "/opt/enforcer/lib"}]},
        {"volumeMounts": [{"name": "data", "mountPath": "/usr"}]},
    ],
)
def test_other_containers_are_no_enforcers(container: Any) -> None:
    """Also if they are not valid, or if the image's program may not be the one that runs."""
    assert enforcers(**container) == []


def variables(name: str, **source: Any) -> Any:
    """Return the part of a container that takes its variables from a ConfigMap."""
    return {"envFrom": [{"configMapRef": {"name": name}, **source}]}


def test_variables_of_a_config_map_may_replace_the_program() -> None:
    """As its own variables may, with their prefix; a Secret's names are not known, which is reported."""
    configs: Any = {"a": {"data": {"PATH": "/data"}}, "b": {"data": {"LOAD": "/data/a.so"}}, "c": {"data": {"A": "b"}}}
    assert enforcers("c.yaml", *SET, configs=configs, **variables("a")) == []
    assert enforcers("c.yaml", *SET, configs=configs, **variables("b", prefix="LD_PRE")) == []
    assert enforcers("c.yaml", *SET, configs=configs, **variables("a", prefix="APP_")) != []
    assert (
        enforcers("c.yaml", *SET, configs=configs, **variables("c"))[0].unknown == enforcers("c.yaml", *SET)[0].unknown
    )
    (proxy,) = enforcers("c.yaml", *SET, configs=configs, envFrom=[{"secretRef": {"name": "s"}}])
    assert "secret/s with its variables is not among the objects" in proxy.unknown
    (proxy,) = enforcers("c.yaml", *SET, configs={}, **variables("a"))
    assert "configmap/a with its variables is not among the objects" in proxy.unknown


def test_mounts_and_variables_beside_the_program_are_harmless() -> None:
    """For example the certificates of an authority."""
    mounts = [{"name": "ca", "mountPath": path} for path in ("/usr/local/share/ca-certificates", "/etc/ssl/certs")]
    assert enforcers(volumeMounts=mounts, env=[{"name": "PYTHONUNBUFFERED", "value": "1"}]) != []


def test_the_image_has_a_default_command() -> None:
    """A container without command and arguments runs the enforcer."""
    only = {"name": "c", "image": "token-enforcer"}
    assert [proxy.container for proxy in find_enforcers({"containers": [only]}, {})] == ["c"]


def test_an_init_container_that_ends_is_no_enforcer() -> None:
    """Only a native sidecar keeps running."""
    only = {"name": "c", "image": "token-enforcer"}
    assert [*find_enforcers({"initContainers": [only]}, {})] == []
    assert len([*find_enforcers({"initContainers": [{**only, "restartPolicy": "Always"}]}, {})]) == 1


@pytest.mark.parametrize(
    ("probe", "waits"),
    [
        ({"httpGet": {"port": 15081, "path": "/readyz"}}, True),
        ({"httpGet": {"port": 15081, "path": "/livez"}}, False),
        ({"httpGet": {"port": 9000, "path": "/readyz"}}, False),
        ({"httpGet": {"port": 15081, "path": "/readyz", "host": "example.org"}}, False),
        ({"exec": {"command": ["true"]}}, False),
        ({}, False),
    ],
)
def test_only_a_startup_probe_of_its_readiness_has_the_app_wait(probe: Any, waits: bool) -> None:
    """Without it, the app may listen first."""
    native = {"name": "c", "image": "token-enforcer", "restartPolicy": "Always", "args": ["run", "c.yaml", *SET]}
    spec = {"initContainers": [{**native, "command": ["enforcer"], "startupProbe": probe}]}
    assert [proxy.native for proxy in find_enforcers(spec, {})] == [waits]


@pytest.mark.parametrize(("text", "port"), [("$(PORT)", 9000), ("$(OTHER)", None), ("$$(PORT)", None)])
def test_variables_in_arguments_are_expanded(text: str, port: int | None) -> None:
    """As Kubernetes does; one without a known value stays."""
    environment = [{"name": "PORT", "value": "9000"}, {"name": "OTHER", "valueFrom": {}}]
    (proxy,) = enforcers("c.yaml", *SET, f"--set=listener.address=:{text}", env=environment)
    assert proxy.listen == port


def test_the_default_listener_is_that_of_the_configuration() -> None:
    """The two are written in different places."""
    assert Listener().address == DEFAULT_LISTENER
