"""NetworkPolicies that close the app's port, or open it again."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.injection import objects_after, options
from harness.kubernetes.manifests import container, deployment, service
from harness.kubernetes.network_policies import Peer, client_in, may_reach
from harness.kubernetes.schemas import violations

from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.inject.objects.networkpolicies import network_policy
from enforcer.kubernetes.inject.pod.pod_template import Context, Injected, Plan, make_sidecar
from enforcer.kubernetes.inject.pod.ports import Port
from enforcer.kubernetes.inject.report import Result
from enforcer.kubernetes.settings import Settings
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.workloads import Workload, workload_of
from enforcer.yamltext.objects import identity

PORT = Port("app", 8080, "http")
INJECTED = {"app": "app", "enforcer.dev/injected": "true"}


def policy_of(thing: Any, mode: Mode = Mode.PORT) -> Any:
    """Return the NetworkPolicy of a workload."""
    return network_policy(thing, injected(workload(thing), mode), "web-enforcer")


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
    policy = network_policy(thing, injected(Workload(kind, "a", None, path, pods)), "a-enforcer")
    if expected is None:
        assert policy is None
    else:
        assert policy is not None
        labels = {**expected["matchLabels"], "enforcer.dev/injected": "true"}
        assert policy["spec"]["podSelector"] == {**expected, "matchLabels": labels}


def test_a_protected_port_is_never_open_to_the_monitoring_namespace() -> None:
    """Some apps call their only port http-metrics."""
    thing = deployment(container("app", {"name": "http-metrics", "containerPort": 8080}))
    policy = policy_of(thing)
    assert not may_reach([policy], INJECTED, 8080, client_in("monitoring"))


def test_two_workloads_of_one_name_have_two_policies() -> None:
    """Also if they are injected one by one: of two policies with one name, the last would be the only one."""
    things = [deployment(), {**deployment(), "kind": "StatefulSet"}]
    outcome = inject_all(things, options())
    added = [thing["metadata"]["name"] for _, thing in outcome.added]
    alone = [identity(only)[0] for thing in things for _, only in inject_all([thing], options()).added]
    assert added == alone == ["app-enforcer", "app-statefulset-enforcer"]
    again = inject_all(objects_after(outcome), options())
    assert (again.added, objects_after(again)) == ((), objects_after(outcome))


def test_a_policy_with_the_short_name_of_an_earlier_version_is_replaced() -> None:
    """Unless a workload of the same name and another kind has it."""
    app = {**deployment(), "kind": "StatefulSet"}
    things = objects_after(inject_all([app], options()))
    former = {**things[1], "metadata": {**things[1]["metadata"], "name": "app-enforcer"}}
    again = inject_all([things[0], former], options())
    assert [identity(thing)[0] for thing in objects_after(again)] == ["app", "app-statefulset-enforcer"]
    both = objects_after(inject_all([deployment(), app], options()))
    assert objects_after(inject_all(both, options())) == both


def test_a_policy_of_the_user_keeps_its_name() -> None:
    """Ours gets another; if that is taken, too, the workload is refused."""
    mine = policy_of(deployment())
    first = {**mine, "metadata": {"name": "app-enforcer"}}
    second = {**mine, "metadata": {"name": "app-deployment-enforcer"}}
    outcome = inject_all([deployment(), first], options())
    assert [thing["metadata"]["name"] for _, thing in outcome.added] == ["app-deployment-enforcer"]
    refused = inject_all([deployment(), service(), first, second], options())
    assert refused.has(Result.REFUSED)
    assert objects_after(refused) == [deployment(), service(), first, second]


def own_policy(**ingress: Any) -> Any:
    """Return a user's NetworkPolicy for the app, with one rule."""
    spec = {"podSelector": {"matchLabels": {"app": "app"}}, "ingress": [ingress]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "own"}, "spec": spec}


FRONT = {"podSelector": {"matchLabels": {"app": "front"}}}


@pytest.mark.parametrize(
    ("rule", "admitted"),
    [
        pytest.param({"from": [FRONT], "ports": [{"port": 8080}]}, {"front"}, id="by number"),
        pytest.param({"from": [FRONT], "ports": [{"port": "http"}]}, {"front"}, id="by name"),
        pytest.param({"from": [FRONT]}, {"front"}, id="every port"),
        pytest.param({"ports": [{"port": 8080}]}, {"front", "other"}, id="everybody"),
        pytest.param({"from": [FRONT], "ports": [{"port": 9090}]}, set(), id="another port"),
    ],
)
def test_limits_of_the_users_own_policies_are_kept(rule: Any, admitted: set[str]) -> None:
    """Policies add up: one that opened the enforcer's port to everybody would void theirs."""
    subject = deployment(container("app", {"name": "http", "containerPort": 8080}))
    policy = network_policy(subject, injected(workload(subject)), "app-enforcer", [own_policy(**rule)])
    assert policy is not None
    assert list(violations(policy)) == []
    for client in ("front", "other"):
        reached = may_reach([policy], INJECTED, 15080, Peer({"app": client}))
        assert reached is (client in admitted)


def test_a_policy_for_other_pods_or_by_an_injection_limits_nothing() -> None:
    """Or the second injection would differ from the first."""
    subject = deployment()
    first = policy_of(subject)
    others = own_policy()
    others["spec"]["podSelector"] = {"matchLabels": {"app": "other"}}
    assert network_policy(subject, injected(workload(subject)), "web-enforcer", [first, others]) == first
