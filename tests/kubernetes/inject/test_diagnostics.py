"""Warnings and notes about an injected workload."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment, service, template

from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.inject.workload_pass import Options
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode

OTHER = container("app", {"name": "http", "containerPort": 8080}, {"name": "grpc", "containerPort": 9000})
WATCHED = container("app", {"name": "http", "containerPort": 8080}, {"name": "http-metrics", "containerPort": 9100})
SCRAPED = deployment()
CLOSED = "bypass closed if the network enforces networkpolicy/app-enforcer"
template(SCRAPED)["metadata"]["annotations"] = {"prometheus.io/port": "8080"}


def lines_with(
    things: list[Any], mode: Mode, result: Result, version: tuple[int, int] = (1, 33), **settings: Any
) -> str:
    """Return the report's lines with this result."""
    wanted = Settings(image="e:1", mode=mode, **{"port": "http", **settings})
    report = inject_all(things, Options(settings=wanted, version=version, package="1", by="t")).report
    return "\n".join(f"{line.name}: {line.detail}" for line in report if line.result is result)


@pytest.mark.parametrize(
    ("things", "mode", "settings", "warning"),
    [
        ([deployment()], Mode.PORT, {"network_policy": False}, "bypass the enforcer: TCP port app-http 8080 of app is"),
        ([deployment(OTHER)], Mode.PORT, {}, "grpc 9000 of app is not protected: open"),
        (
            [deployment(container("app", {"name": "http", "containerPort": 8080}, {"containerPort": 9000}))],
            Mode.PORT,
            {},
            "9000 of app is not protected: closed if the network",
        ),
        (
            [deployment(container("app", {"name": "https", "containerPort": 8443}))],
            Mode.PORT,
            {"port": "https"},
            "the app speaks HTTPS, because its name is https",
        ),
        (
            [deployment(OTHER)],
            Mode.LOOPBACK,
            {},
            "TCP port grpc 9000 of app is not protected: open by the pods' addresses; no",
        ),
        ([deployment(WATCHED)], Mode.LOOPBACK, {}, "port http-metrics 9100 of app is not protected"),
        ([SCRAPED], Mode.LOOPBACK, {}, "prometheus.io/port is 8080, where metrics now need a token"),
        ([deployment()], Mode.LOOPBACK, {"native": False}, "the app may start before a classic sidecar"),
        ([deployment()], Mode.LOOPBACK, {"rewrite_probes": False}, "its probes are not rewritten"),
        ([deployment(), service(clusterIP="None")], Mode.PORT, {}, "service/app: headless: clients choose"),
    ],
)
def test_a_probable_mistake_is_a_warning(things: list[Any], mode: Mode, settings: Any, warning: str) -> None:
    """The message says what the consequence is."""
    assert warning in lines_with(things, mode, Result.WARNING, **settings)


@pytest.mark.parametrize("mode", Mode)
def test_an_undeclared_port_is_a_warning(mode: Mode) -> None:
    """It may be a typo. Without any declared port there is nothing to compare it with."""
    warning = "no container declares port 9999; declared: http 8080, grpc 9000"
    assert warning in lines_with([deployment(OTHER)], mode, Result.WARNING, port=9999)
    assert "no container names" not in lines_with([deployment(OTHER)], mode, Result.WARNING, port=9000)
    assert lines_with([deployment({"name": "app"})], mode, Result.WARNING, port=9999) == ""


@pytest.mark.parametrize(
    ("things", "mode", "settings"),
    [
        ([deployment(), service()], Mode.PORT, {}),
        ([deployment(WATCHED)], Mode.PORT, {}),
        ([SCRAPED], Mode.PORT, {"scrape_passthrough": True}),
        ([deployment(), service(clusterIP="None")], Mode.LOOPBACK, {}),
        ([deployment()], Mode.TRANSPARENT, {"native": False}),
    ],
)
def test_a_complete_protection_has_no_warning(things: list[Any], mode: Mode, settings: Any) -> None:
    """A warning that always appears would be ignored."""
    assert lines_with(things, mode, Result.WARNING, **settings) == ""


@pytest.mark.parametrize(
    ("things", "mode", "settings", "note"),
    [
        ([deployment()], Mode.PORT, {}, 'any Service that selects app=app must use targetPort "http"'),
        ([deployment(WATCHED)], Mode.PORT, {}, "9100 of app is not protected: open by the pods' addresses"),
        ([deployment()], Mode.PORT, {}, "networkpolicy/app-enforcer needs a network plugin that enforces it"),
        ([deployment()], Mode.LOOPBACK, {}, "the app must listen on 127.0.0.1:8080"),
        ([deployment()], Mode.TRANSPARENT, {}, "enforcer-redirect needs NET_ADMIN, which Pod Security"),
        ([deployment()], Mode.PORT, {"policy": "p"}, "needs configmap/p with the policy as config.yaml"),
        ([deployment()], Mode.PORT, {"credentials": "c"}, "needs secret/c with client-id and client-secret"),
    ],
)
def test_an_assumption_is_a_note(things: list[Any], mode: Mode, settings: Any, note: str) -> None:
    """Requirements that the manifests do not show."""
    assert note in lines_with(things, mode, Result.NOTE, **settings)


@pytest.mark.parametrize(
    ("mode", "version", "summary"),
    [
        (
            Mode.PORT,
            (1, 33),
            "port http 8080→15080, native sidecar, bypass closed if the network enforces networkpolicy/app-enforcer",
        ),
        (
            Mode.PORT,
            (1, 28),
            "port http 8080→15080, classic sidecar, bypass closed if the network enforces networkpolicy/app-enforcer",
        ),
        (Mode.LOOPBACK, (1, 33), "port http 8080 on the pod's addresses, app on 127.0.0.1, native sidecar, bypass"),
        (
            Mode.TRANSPARENT,
            (1, 33),
            "port http 8080→15080 by a redirect in the pod's network, native sidecar, bypass closed",
        ),
    ],
)
def test_the_report_says_how_a_workload_is_protected(mode: Mode, version: tuple[int, int], summary: str) -> None:
    """The first line of the workload."""
    assert summary in lines_with([deployment(), service()], mode, Result.INJECTED, version)
