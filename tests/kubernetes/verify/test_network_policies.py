"""NetworkPolicies admit clients to ports, and add up."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.kubernetes.verify.network_policies import (
    admitted,
    describe,
    is_foreign,
    is_network_policy,
    may_limit,
    surely_limits,
)
from enforcer.kubernetes.verify.services import Endpoint
from enforcer.kubernetes.workloads import Workload

SPEC: Any = {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]}


def policy(*ingress: Any, **spec: Any) -> Any:
    """Return a NetworkPolicy for all pods."""
    spec = {"podSelector": {}, "ingress": list(ingress), **spec}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec}


@pytest.mark.parametrize(
    ("ports", "admits"),
    [
        (None, True),
        ([], True),
        ([{}], True),
        ([{"port": 8080}], True),
        ([{"port": "8080"}], True),
        ([{"port": "http"}], True),
        ([{"port": 8000, "endPort": 8079}, {"port": 8080, "endPort": 8080}], True),
        ([{"port": {}}], True),
        ([None, {"port": 80}], True),
        ([{"port": 80}], False),
        ([{"port": "https"}], False),
        ([{"port": 8000, "endPort": 8079}], False),
        ([{"port": 8080, "protocol": "UDP"}], False),
        ([{"protocol": "SCTP"}], False),
    ],
)
def test_a_rule_admits_to_its_ports(ports: Any, admits: bool) -> None:
    """To all if it names none; a port that is not readable may be any."""
    clients = [*admitted([policy({"ports": ports})], SPEC, Endpoint("TCP", 8080))]
    assert [str(client) for client in clients] == (["networkpolicy/p admits every client"] if admits else [])


@pytest.mark.parametrize(
    ("spec", "limits"),
    [
        ({}, True),
        ({"policyTypes": []}, True),
        ({"policyTypes": ["Egress"]}, False),
        ({"policyTypes": ["Ingress", "Egress"]}, True),
        ({"podSelector": {"matchLabels": {"a": "b"}}}, False),
    ],
)
def test_a_policy_limits_the_pods_that_it_selects(spec: Any, limits: bool) -> None:
    """Unless it is for egress only."""
    pods = Workload("Deployment", "app", None, (), {"metadata": {"labels": {"app": "app"}}})
    assert may_limit(policy(**spec), pods) is surely_limits(policy(**spec), pods) is limits


@pytest.mark.parametrize("operator", ["Exists", "DoesNotExist", "In", "NotIn"])
def test_a_label_that_a_controller_adds_leaves_it_open(operator: str) -> None:
    """The policy may select some of the pods, and does not surely select them all."""
    entry = {"key": "statefulset.kubernetes.io/pod-name", "operator": operator, "values": ["app-0"]}
    pods = Workload("StatefulSet", "app", None, (), {"metadata": {"labels": {"app": "app"}}})
    selecting = policy(podSelector={"matchExpressions": [entry]})
    assert (may_limit(selecting, pods), surely_limits(selecting, pods)) == (True, False)


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        ({"ipBlock": {"cidr": "10.0.0.0/8"}}, "10.0.0.0/8"),
        ({"podSelector": {}}, "every pod of the namespace"),
        ({"namespaceSelector": {}}, "every namespace"),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, "namespaces with a=b"),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}},
            "pods with a In b,c",
        ),
        (
            {"podSelector": {"matchLabels": {"x": "y"}}, "namespaceSelector": {"matchLabels": {"a": "b"}}},
            "pods with x=y in namespaces with a=b",
        ),
    ],
)
def test_clients_are_described(peer: Any, text: str) -> None:
    """By their labels, or their addresses."""
    assert describe(peer) == text


@pytest.mark.parametrize(
    ("version", "kind", "own", "foreign"),
    [
        ("networking.k8s.io/v1", "NetworkPolicy", True, False),
        ("crd.projectcalico.org/v1", "NetworkPolicy", False, True),
        ("cilium.io/v2", "CiliumNetworkPolicy", False, True),
        ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", False, True),
        ("v1", "Service", False, False),
    ],
)
def test_policies_of_other_apis_are_told_apart(version: str, kind: str, own: bool, foreign: bool) -> None:
    """They may admit clients, too."""
    obj = {"apiVersion": version, "kind": kind}
    assert (is_network_policy(obj), is_foreign(obj)) == (own, foreign)
