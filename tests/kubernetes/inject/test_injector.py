"""Workloads are injected together with the Services, NetworkPolicies and ConfigMaps that belong to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness.kubernetes.injection import objects_after, options, results
from harness.kubernetes.manifests import container, deployment, find, service, template

from enforcer.kubernetes import names
from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.inject.uninjector import uninject_all
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode

UNNAMED = {"containerPort": 8080}


def test_a_service_that_was_changed_may_be_changed_again() -> None:
    """A later run, for a new version, needs no --force-service."""
    things = [deployment(container("app", UNNAMED)), service(8080)]
    forced = objects_after(inject_all(things, options(force_service=True)))
    assert find(forced, "Service")["spec"]["ports"] == [{"port": 80, "targetPort": "http"}]
    again = inject_all(forced, options(image_pull_policy="Always"))
    assert not again.has(Result.REFUSED)
    assert find(objects_after(again), "Service") == find(forced, "Service")


def test_nothing_remains_of_a_former_injection() -> None:
    """Another mode needs neither the NetworkPolicy nor the port's name."""
    things = [deployment(container("app", UNNAMED)), service(8080)]
    forced = objects_after(inject_all(things, options(force_service=True)))
    outcome = inject_all(forced, options(Mode.LOOPBACK))
    assert ("networkpolicy/app-enforcer", "removed") in results(outcome)
    assert find(objects_after(outcome), "Service") == things[1]
    assert list(uninject_all(objects_after(outcome)).objects) == things


def test_a_policy_becomes_one_config_map_per_name() -> None:
    """Workloads may share it. Its checksum is an annotation of the pods, so that a change of the policy shows there."""
    policy = {"config.yaml": "rules: []\n", "ca.pem": "x"}
    things = [deployment(), deployment(name="other")]
    outcome = inject_all(things, options(policy=policy, policy_key="config.yaml"))
    config_maps = [thing for _, thing in outcome.added if thing["kind"] == "ConfigMap"]
    assert [(thing["metadata"]["name"], thing["data"]) for thing in config_maps] == [
        ("app-enforcer", policy),
        ("other-enforcer", policy),
    ]
    shared = inject_all(things, replace(options(policy=policy), settings=Settings(image="e:1", policy="p")))
    assert [thing["metadata"]["name"] for _, thing in shared.added if thing["kind"] == "ConfigMap"] == ["p"]
    sums = {template(thing)["metadata"]["annotations"][names.POLICY_CHECKSUM] for thing in outcome.objects if thing}
    assert len(sums) == 1


@pytest.mark.parametrize(
    ("data", "policy", "result"),
    [
        ({"config.yaml": "rules: []"}, None, "injected"),
        ({"other.yaml": ""}, None, "refused"),
        ({"config.yaml": ""}, {"config.yaml": ""}, "refused"),
    ],
)
def test_a_config_map_among_the_manifests_is_the_policy(data: Any, policy: Any, result: str) -> None:
    """It must have the key, and must not be one that the run would create."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app-enforcer"}, "data": data}
    outcome = inject_all([config, deployment()], options(policy=policy))
    assert ("deployment/app", result) in results(outcome)
    assert ("configmap/app-enforcer", "unchanged") in results(outcome)


def test_a_changed_policy_replaces_the_former_one() -> None:
    """In the ConfigMap that was created for it; a run without --policy leaves it."""
    first = objects_after(inject_all([deployment()], options(policy={"config.yaml": "a"})))
    second = inject_all(first, options(policy={"config.yaml": "b"}))
    assert find(objects_after(second), "ConfigMap")["data"] == {"config.yaml": "b"}
    assert second.added == ()
    without_policy = inject_all(first, options())
    assert find(objects_after(without_policy), "ConfigMap")["data"] == {"config.yaml": "a"}
    assert template(objects_after(without_policy)[0]) == template(first[0])
