"""The status annotation of a pod template."""

import json
from dataclasses import fields
from typing import Any

import pytest
from harness.kubernetes.injection import options
from harness.kubernetes.manifests import deployment, service, template

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import Status, status_of
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.uninjector import uninject_all


def test_a_status_is_read_as_it_was_written() -> None:
    """Empty fields are omitted."""
    renamed = {"http": "app-http"}
    status = Status(version="1", hash="abc", mode="port", container="app", port=8080, renamed=renamed, grace=(None,))
    text = status.write()
    assert json.loads(text) == {
        "version": "1",
        "hash": "abc",
        "mode": "port",
        "container": "app",
        "port": 8080,
        "renamed": {"http": "app-http"},
        "grace": [None],
    }
    assert status_of({"metadata": {"annotations": {names.STATUS: text}}}) == status


@pytest.mark.parametrize("text", [None, "", "{", "[]", "5", "{}", '{"version": "1", "unknown": 1}', 5])
def test_anything_else_is_not_a_status(text: object) -> None:
    """A template that was not injected, or one with an annotation that somebody else wrote."""
    assert status_of({"metadata": {"annotations": {names.STATUS: text}}}) is None
    assert status_of({}) is None


FULL: dict[str, Any] = {
    "version": "1",
    "hash": "a",
    "mode": "port",
    "container": "app",
    "port": 8080,
    "renamed": {"http": "app-http"},
    "pre_stop": True,
    "grace": [None],
    "env": {"A": None},
    "args": 1,
    "annotations": {"b": None},
    "pull_secret": "registry",
    "protocol": "HTTP2",
    "empty": {"metadata": None},
    "name": "web",
    "options": {"mode": "loopback"},
}


def test_every_field_of_a_status_can_be_read() -> None:
    """A field without a test of its type would make every status invalid."""
    assert set(FULL) == {field.name for field in fields(Status)}
    status = status_of({"metadata": {"annotations": {names.STATUS: json.dumps(FULL)}}})
    assert status is not None
    assert json.loads(status.write()) == FULL


@pytest.mark.parametrize("value", [None, 5, -1, "x", [1], ["x"], {"a": 1}, True])
def test_a_damaged_annotation_is_no_traceback(value: Any) -> None:
    """Anybody may have edited it: what cannot be read counts as if it were not there."""
    for name in FULL:
        subject = deployment()
        template(subject)["metadata"]["annotations"] = {names.STATUS: json.dumps({**FULL, name: value})}
        inject_all([subject], options())
        uninject_all([subject])
    for name in ("targetPorts", "metrics", "annotations"):
        text = json.dumps({name: value})
        for thing in (service(8080), {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2"}):
            damaged = {**thing, "metadata": {"name": "app", "annotations": {names.STATUS: text}}}
            uninject_all([damaged])
            inject_all([deployment(), damaged], options())
