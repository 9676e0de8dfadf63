"""Settings of a sidecar, from annotations, options and `--set`."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.kubernetes import names
from enforcer.kubernetes.settings import (
    ANNOTATIONS,
    MAX_CONFIG,
    Settings,
    SettingsError,
    with_annotations,
    with_options,
    with_values,
)
from enforcer.kubernetes.sidecar import Mode, Resources, ServiceAccountToken

BASE = Settings(image="token-enforcer:1")


def annotated(**annotations: str) -> Settings:
    """Read annotations, given as keywords with underscores instead of hyphens."""
    return with_annotations(
        BASE, {f"enforcer.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    )


@pytest.mark.parametrize(
    ("annotations", "field", "value"),
    [
        ({"mode": "loopback"}, "mode", Mode.LOOPBACK),
        ({"port": "8080"}, "port", 8080),
        ({"port": "http"}, "port", "http"),
        ({"container": "app"}, "container", "app"),
        ({"policy": "rules"}, "policy", "rules"),
        ({"policy": "rules/policy.yaml"}, "policy_key", "policy.yaml"),
        ({"credentials_secret": "client"}, "credentials", "client"),
        ({"native_sidecar": "false"}, "native", False),
        ({"image": "registry.example.org:5000/e@sha256:0"}, "image", "registry.example.org:5000/e@sha256:0"),
        ({"image_pull_policy": "Always"}, "image_pull_policy", "Always"),
        ({"log_level": "debug"}, "log_level", "debug"),
        ({"log_format": "json"}, "log_format", "json"),
        ({"cpu_limit": "0.5", "memory_limit": "1Gi"}, "resources", Resources(cpu_limit="0.5", memory_limit="1Gi")),
        ({"drain_seconds": "10"}, "drain_seconds", 10),
        ({"wait_before_exit_seconds": "0"}, "wait_before_exit_seconds", 0),
        ({"config": "cache: {ttl: 5s}\nlog: {}"}, "config", {"cache.ttl": '"5s"', "log": "{}"}),
        ({"config": "rules: [{name: a}]"}, "config", {"rules": '[{"name": "a"}]'}),
        ({"container_patch": '[{"op": "remove"}]'}, "container_patch", ({"op": "remove"},)),
        ({"skip_probe_rewrite": "true"}, "rewrite_probes", False),
    ],
)
def test_each_annotation_sets_a_setting(annotations: dict[str, str], field: str, value: Any) -> None:
    """The value is parsed; `resources` and `config` collect several."""
    assert getattr(annotated(**annotations), field) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("mode", value) for value in ("", "Port", "sidecar")),
        *(("port", value) for value in ("", "0", "65536", "HTTP", "-1", "a-very-long-name", "80a-", "1.5")),
        *(("container", value) for value in ("", "App", "a.b", "a" * 64)),
        *(("policy", value) for value in ("", "/key", "other/ns/key", "rules/", "Rules", "web/../x")),
        *(("credentials-secret", value) for value in ("", "a/b", "$(X)")),
        *(("native-sidecar", value) for value in ("yes", "True", "")),
        *(("image", value) for value in ("", "a b", "-x", "a\n")),
        ("image-pull-policy", "always"),
        ("log-level", "trace"),
        ("log-format", "yaml"),
        *(("cpu-request", value) for value in ("", "1 ", "100M i", "-1", "1e3")),
        *(("drain-seconds", value) for value in ("0", "-1", "3601", "5s", "1.5")),
        ("wait-before-exit-seconds", ""),
        *(("config", value) for value in ("", "[]", "a", "a: [", "a: 1\na: 2", "'a b': 1", "x" * (MAX_CONFIG + 1))),
        *(("config", f"{key}: x") for key in ("listener: {address", "upstream: {url", "admin")),
        ("config", "listener: {address: ':1'}"),
        ("config", "upstream: x"),
        ("container-patch", "{}"),
        ("container-patch", "[1]"),
        ("skip-probe-rewrite", "false"),
    ],
)
def test_an_invalid_value_is_an_error(name: str, value: str) -> None:
    """The message begins with the annotation's name."""
    with pytest.raises(SettingsError) as refused:
        with_annotations(BASE, {f"enforcer.dev/{name}": value})
    (problem,) = refused.value.problems
    assert problem.startswith(f"enforcer.dev/{name}: ")


@pytest.mark.parametrize("value", [5, True, None, {"mode": "report"}, ["a"]])
def test_a_value_that_is_no_text_is_an_error(value: Any) -> None:
    """An annotation is a text: YAML needs quotes for a number, for example."""
    for name in ANNOTATIONS:
        with pytest.raises(SettingsError, match=f"^enforcer.dev/{name}: expected a text, in quotes, found "):
            with_annotations(BASE, {f"enforcer.dev/{name}": value})


def test_all_errors_are_reported_together() -> None:
    """With suggestions for misspelt names."""
    with pytest.raises(SettingsError) as refused:
        annotated(mod="port", port="0", inject="enabled", nonsense="1", drain_seconds="soon")
    assert refused.value.problems == (
        'enforcer.dev/mod is unknown; did you mean "enforcer.dev/mode"?',
        'enforcer.dev/port: expected a whole number from 1 to 65535, found "0"',
        "enforcer.dev/inject is unknown; it is a label, not an annotation",
        f"enforcer.dev/nonsense is unknown; known: {', '.join(ANNOTATIONS)}",
        'enforcer.dev/drain-seconds: expected a whole number from 1 to 3600, found "soon"',
    )


def test_annotations_of_others_are_ignored() -> None:
    """Annotations that the injector writes are ignored, too."""
    written = dict.fromkeys(names.WRITTEN, "x")
    assert with_annotations(BASE, {"linkerd.io/mode": "x", "enforcer.device/mode": "x", **written}) == BASE


def test_an_annotation_that_is_not_a_string_is_an_error() -> None:
    """An unquoted `true` is not a string, and Kubernetes would reject it, too."""
    with pytest.raises(SettingsError, match="found true"):
        with_annotations(BASE, {"enforcer.dev/skip-probe-rewrite": True})


@pytest.mark.parametrize(
    ("values", "field", "value"),
    [
        ({"listenPort": "9000"}, "listen_port", 9000),
        ({"adminPort": "9001"}, "admin_port", 9001),
        ({"runAsUser": "1000"}, "user", 1000),
        ({"runAsUser": "null"}, "user", None),
        ({"resources.requests.cpu": "1"}, "resources", Resources(cpu_request="1")),
        ({"upstreamScheme": "https"}, "upstream_scheme", "https"),
        ({"monitoringNamespace": "watch"}, "monitoring_namespace", "watch"),
        ({"serviceAccountToken.audience": "auth"}, "service_account_token", ServiceAccountToken(audience="auth")),
        (
            {"serviceAccountToken.audience": "auth", "serviceAccountToken.expirationSeconds": "900"},
            "service_account_token",
            ServiceAccountToken(audience="auth", expiration_seconds=900),
        ),
    ],
)
def test_values_are_those_of_the_chart(values: dict[str, str], field: str, value: Any) -> None:
    """`--set` uses the dotted keys of the chart's values."""
    assert getattr(with_values(BASE, values), field) == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"runAsUser": "0"}, "runAsUser: expected a whole number from 1 to 2147483647"),
        ({"listenPort": "80"}, "listenPort: expected a whole number from 1024 to 65535"),
        ({"serviceAccountToken.expirationSeconds": "900"}, "serviceAccountToken.audience must be set first"),
        ({"logLevle": "debug"}, 'logLevle is unknown; did you mean "logLevel"?'),
    ],
)
def test_an_invalid_chart_value_is_an_error(values: dict[str, str], message: str) -> None:
    """The message begins with the key."""
    with pytest.raises(SettingsError) as refused:
        with_values(BASE, values)
    assert str(refused.value).startswith(message) or message in str(refused.value)


def test_an_error_names_the_option_as_it_is_written() -> None:
    """With its dashes."""
    assert with_options(BASE, {"policy-configmap": "a/b"}).policy_key == "b"
    with pytest.raises(SettingsError, match=r'^--mode: expected port, loopback, transparent, found "x"$'):
        with_options(BASE, {"mode": "x"})
