"""Probes that the enforcer executes on behalf of the kubelet."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness.kubernetes.manifests import container

from enforcer.kubernetes.inject.pod.probes import Stored, as_text, given_back, renamed, taken_over

HTTP = {"httpGet": {"path": "/x", "port": "http"}}


def taken(subject: dict[str, Any], number: int = 8080) -> tuple[dict[str, Any], Stored]:
    """Take over the probes of one port."""
    stored: Stored = {}
    return taken_over(subject, 15081, lambda port: port == number, stored), stored


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"httpGet": {"path": "/x", "port": "http"}}, {"path": "/probes/app/livez", "port": 15081}),
        ({"httpGet": {"port": 8080}}, {"port": 15081, "path": "/probes/app/livez"}),
        (
            {"httpGet": {"port": 8080, "scheme": "HTTPS", "httpHeaders": []}},
            {"port": 15081, "scheme": "HTTP", "httpHeaders": [], "path": "/probes/app/livez"},
        ),
        ({"tcpSocket": {"port": "8080"}}, {"port": 15081, "path": "/probes/app/livez"}),
        ({"grpc": {"port": 8080, "service": "x"}}, {"port": 15081, "path": "/probes/app/livez"}),
    ],
)
def test_a_probe_is_sent_to_the_admin_server(action: dict[str, Any], expected: dict[str, Any]) -> None:
    """It uses no TLS. The original is stored with the port's number, and the probe's timing stays."""
    subject = container(livenessProbe={"periodSeconds": 7, **action, "timeoutSeconds": 3})
    changed, stored = taken(subject)
    assert changed["livenessProbe"] == {"periodSeconds": 7, "httpGet": expected, "timeoutSeconds": 3}
    assert list(changed["livenessProbe"]) == ["periodSeconds", "httpGet", "timeoutSeconds"]
    assert stored == {"app/livez": {**action, "port": 8080, "timeoutSeconds": 3}}
    assert given_back(changed, stored) == subject
    assert list(given_back(changed, stored)["livenessProbe"]) == list(subject["livenessProbe"])


@pytest.mark.parametrize(
    "probe",
    [
        {"exec": {"command": ["true"]}},
        {"httpGet": {"port": 9090}},
        {"httpGet": {"port": "other"}},
        {"httpGet": {"port": 8080, "host": "example.org"}},
        {"tcpSocket": {"port": 8080, "host": "10.0.0.1"}},
        {},
        None,
    ],
)
def test_other_probes_stay_unchanged(probe: Any) -> None:
    """Commands, other ports, and other hosts."""
    subject = container(livenessProbe=probe)
    assert taken(subject) == (subject, {})


def test_each_probe_and_hook_has_a_path_of_its_own() -> None:
    """Named after the container and the probe."""
    subject = container(
        livenessProbe=HTTP,
        readinessProbe=HTTP,
        startupProbe=HTTP,
        lifecycle={"postStart": HTTP, "preStop": HTTP, "stopSignal": "SIGINT"},
    )
    changed, stored = taken(subject)
    assert list(stored) == ["app/livez", "app/readyz", "app/startupz", "app/poststart", "app/prestop"]
    assert changed["lifecycle"]["preStop"]["httpGet"]["path"] == "/probes/app/prestop"
    assert given_back(changed, stored) == subject


def test_a_hook_with_a_socket_stays_unchanged() -> None:
    """The kubelet does not support it, and says so."""
    subject = container(lifecycle={"preStop": {"tcpSocket": {"port": 8080}}})
    assert taken(subject) == (subject, {})


def test_a_probe_that_was_changed_since_is_not_restored() -> None:
    """Somebody else has edited it."""
    changed, stored = taken(container(livenessProbe=HTTP))
    changed = {**changed, "livenessProbe": {"httpGet": {"path": "/new", "port": 1}}}
    assert given_back(changed, stored) == changed
    assert given_back(changed, {"app/livez": 5}) == changed


def test_a_port_is_renamed_in_probes_and_hooks() -> None:
    """And back; numbers and other names stay."""
    subject = container(
        livenessProbe=HTTP,
        readinessProbe={"tcpSocket": {"port": "other"}},
        startupProbe={"httpGet": {"port": 8080}},
        lifecycle={"preStop": HTTP},
    )
    changed = renamed(subject, "http", "app-http")
    assert changed["livenessProbe"]["httpGet"] == {"path": "/x", "port": "app-http"}
    assert changed["lifecycle"]["preStop"]["httpGet"]["port"] == "app-http"
    assert (changed["readinessProbe"], changed["startupProbe"]) == (subject["readinessProbe"], subject["startupProbe"])
    assert renamed(changed, "app-http", "http") == subject


def test_stored_probes_are_json() -> None:
    """None if there are no probes."""
    assert as_text({}) is None
    assert json.loads(as_text({"app/livez": HTTP}) or "") == {"app/livez": HTTP}
