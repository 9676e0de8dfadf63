"""The status carries every option, and reads it back."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.kubernetes.annotations import Status
from enforcer.kubernetes.carried_options import NAMES, OPTIONS, carried, default_settings, with_carried
from enforcer.kubernetes.settings import OPTIONS as COMMAND_LINE
from enforcer.kubernetes.settings import VALUES, Settings, SettingsError
from enforcer.kubernetes.sidecar import Mode, Resources, ServiceAccountToken

PACKAGE = "1"
NOT_CARRIED = {"allow_report_mode"}
"""The platform decides it, each time."""

CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "mode": st.sampled_from(Mode),
    "port": st.sampled_from(["http", 8080]),
    "container": st.just("app"),
    "credentials": st.just("client"),
    "native": st.booleans(),
    "image": st.just("x/e:2"),
    "image_pull_policy": st.just("Always"),
    "image_pull_secret": st.just("registry"),
    "log_level": st.just("debug"),
    "log_format": st.just("json"),
    "drain_seconds": st.integers(1, 100),
    "wait_before_exit_seconds": st.integers(0, 9),
    "config": st.sampled_from([{"log.level": '"debug"', "cache.ttl": '"1s"'}, {"limits": "{}"}]),
    "container_patch": st.just(({"op": "remove", "path": "/a"},)),
    "rewrite_probes": st.just(False),
    "listen_port": st.integers(1024, 65535),
    "admin_port": st.integers(1024, 65535),
    "user": st.sampled_from([None, 1000]),
    "upstream_scheme": st.just("https"),
    "monitoring_namespace": st.just("m"),
    "app_env": st.sampled_from([{"HOST": "127.0.0.1", "B": "=é\n"}]),
    "app_args": st.just(("--a", "b c")),
    "network_policy": st.booleans(),
    "scrape_passthrough": st.just(True),
    "service_account_token": st.builds(
        ServiceAccountToken, audience=st.just("a"), expiration_seconds=st.sampled_from([600, 3600])
    ),
    "resources": st.builds(Resources, cpu_limit=st.sampled_from([None, "1"]), memory_request=st.just("1Gi")),
    "policy": st.just("rules"),
    "policy_key": st.just("a.yaml"),
}


def test_every_setting_is_carried() -> None:
    """A new one must be added."""
    assert {*CHANGES} == {field.name for field in fields(Settings)} - NOT_CARRIED


@given(st.fixed_dictionaries({}, optional=CHANGES))
def test_carried_settings_are_read_back(changes: dict[str, Any]) -> None:
    """Equal, from the defaults."""
    if "policy" not in changes:
        changes.pop("policy_key", None)
    settings = replace(default_settings(PACKAGE), **changes)
    status = Status(version="1", hash="", mode="port", container="app", port=1, options=carried(settings, PACKAGE))
    assert with_carried(default_settings(PACKAGE), status) == settings


def test_defaults_are_not_carried() -> None:
    """A new version of the enforcer brings its own, such as the image."""
    assert carried(default_settings(PACKAGE), PACKAGE) == {}
    assert with_carried(default_settings(PACKAGE), None) == default_settings(PACKAGE)


def test_every_option_and_value_has_a_name() -> None:
    """By which an explicit one replaces a carried one."""
    names = {NAMES.get(name, name) for name in (*COMMAND_LINE, *VALUES)}
    assert names - {"allowReportMode"} <= {*OPTIONS}


@pytest.mark.parametrize(
    "options", [{"x": "1"}, {"mode": "x"}, {"app-env": "[]"}, {"app-arg": "[1]"}, {"scrape": ""}, {"port": 1}]
)
def test_other_options_are_refused(options: Any) -> None:
    """The annotation can be edited."""
    status = Status(version="1", hash="", mode="port", container="app", port=1, options=options)
    with pytest.raises(SettingsError):
        with_carried(default_settings(PACKAGE), status)
