"""NetworkPolicies that close the app's port, or open it again."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.manifests import container, deployment
from harness.kubernetes.network_policies import client_in, may_reach
from harness.kubernetes.schemas import violations

from enforcer.kubernetes.inject.networkpolicies import network_policy, reopens
from enforcer.kubernetes.inject.pod.pod_template import Context, Injected, Plan, make_sidecar
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import Workload, workload_of

PORT = Port("app", 8080, "http")
INJECTED = {"app": "app", "enforcer.dev/injected": "true"}


def policy_of(thing: Any, mode: Mode = Mode.PORT) -> Any:
    """Return the NetworkPolicy of a workload."""
    return network_policy(thing, injected(workload(thing), mode))


def injected(subject: Workload, mode: Mode = Mode.PORT) -> Injected:
    """Return an injection of a workload, whose pods have the labels INJECTED."""
    context = Context(version=(1, 33), package="1", by="test")
    plan = Plan(workload=subject, settings=Settings(image="e:1", mode=mode), port=PORT, context=context, native=True)
    return Injected(plan, make_sidecar(plan), {"metadata": {"labels": INJECTED}})


def workload(thing: Any) -> Workload:
    result = workload_of(thing)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("mode", "open_port", "closed"), [(Mode.PORT, 15080, 8080), (Mode.LOOPBACK, 8080, 9), (Mode.TRANSPARENT, 8080, 9)]
)
def test_only_the_protected_port_is_open_to_all(mode: Mode, open_port: int, closed: int) -> None:
    """Metrics are open to the monitoring namespace only. Pods that are not injected are not selected."""
    policy = policy_of(deployment(container("app", *({"name": n, "containerPort": p} for n, p in PORTS.items()))), mode)
    assert list(violations(policy)) == []
    client, monitoring = client_in("default"), client_in("monitoring")
    reached = [may_reach([policy], INJECTED, port, client) for port in (open_port, closed, 15081, 9100)]
    assert reached == [True, False, False, False]
    assert all(may_reach([policy], INJECTED, port, monitoring) for port in (open_port, 15081, 9100))
    assert not may_reach([policy], INJECTED, 7000, monitoring)
    assert may_reach([policy], {"app": "app"}, 8080, client)


PORTS = {"http": 8080, "http-metrics": 9100, "other": 7000}


def test_it_has_the_namespace_and_name_of_the_workload() -> None:
    """An annotation says what created it."""
    thing = deployment(name="web")
    thing["metadata"]["namespace"] = "front"
    assert policy_of(thing)["metadata"] == {
        "name": "web-enforcer",
        "namespace": "front",
        "annotations": {"enforcer.dev/injected-by": "test"},
    }


@pytest.mark.parametrize(
    ("kind", "selector", "labels", "expected"),
    [
        ("Deployment", {"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, {"matchLabels": {"a": "b"}}),
        (
            "Deployment",
            {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
            {"a": "b"},
            {"matchExpressions": [{"key": "a", "operator": "Exists"}], "matchLabels": {}},
        ),
        ("ReplicationController", {"a": "b"}, {"a": "b"}, {"matchLabels": {"a": "b"}}),
        ("Job", None, {"a": "b"}, {"matchLabels": {"a": "b"}}),
        ("Pod", None, {"a": "b"}, {"matchLabels": {"a": "b"}}),
        ("Job", None, {}, None),
    ],
)
def test_it_selects_the_workloads_injected_pods(kind: str, selector: Any, labels: Any, expected: Any) -> None:
    """By the workload's selector, or else by all labels of the pods; without labels there is no policy."""
    path = () if kind == "Pod" else ("spec", "template")
    pods = {"metadata": {"labels": labels}, "spec": {}}
    thing = {"kind": kind, "metadata": {"name": "a"}, "spec": {"selector": selector} if selector else {}}
    policy = network_policy(thing, injected(Workload(kind, "a", None, path, pods)))
    if expected is None:
        assert policy is None
    else:
        assert policy is not None
        labels = {**expected["matchLabels"], "enforcer.dev/injected": "true"}
        assert policy["spec"]["podSelector"] == {**expected, "matchLabels": labels}


@pytest.mark.parametrize(
    ("spec", "opens"),
    [
        pytest.param({"podSelector": {}, "ingress": [{}]}, True, id="everything"),
        pytest.param({"podSelector": {}}, False, id="nothing"),
        pytest.param({"podSelector": {}, "ingress": [{"ports": []}]}, True, id="no port is every port"),
        pytest.param({"podSelector": {}, "ingress": [{"ports": [{"port": 8080}]}]}, True, id="the port"),
        pytest.param({"podSelector": {}, "ingress": [{"ports": [{"protocol": "TCP"}]}]}, True, id="every port for TCP"),
        pytest.param({"podSelector": {}, "ingress": [{"ports": [{"port": 8000, "endPort": 9000}]}]}, True, id="within"),
        pytest.param({"podSelector": {}, "ingress": [{"ports": [{"port": 9000, "endPort": 9999}]}]}, False, id="above"),
        pytest.param({"podSelector": {}, "ingress": [{"ports": [{"port": 443}]}]}, False, id="another port"),
        pytest.param({"podSelector": {}, "ingress": [{"ports": [{"port": 8080, "protocol": "UDP"}]}]}, False, id="UDP"),
        pytest.param({"podSelector": {}, "ingress": [{"ports": [{"port": "http"}]}]}, False, id="the enforcer's name"),
        pytest.param({"podSelector": {"matchLabels": {"app": "x"}}, "ingress": [{}]}, False, id="other pods"),
        pytest.param({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]}, False, id="only egress"),
    ],
)
def test_another_policy_may_open_the_port_again(spec: Any, opens: bool) -> None:
    """It is reported, whichever clients it admits."""
    policy = {"metadata": {"name": "other"}, "spec": spec}
    assert reopens(policy, injected(workload(deployment()))) is opens
    elsewhere = {"metadata": {"name": "other", "namespace": "elsewhere"}, "spec": spec}
    here = deployment()
    here["metadata"]["namespace"] = "here"
    assert not reopens(elsewhere, injected(workload(here)))
