"""The verdict equals what clients reach in a simulated cluster, over drawn pods, tampered sidecars and policies."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from harness.kubernetes.injection import objects_after, options
from harness.kubernetes.manifests import Object, container, deployment, service, template
from harness.kubernetes.reachability import CRUEL, KIND, reached
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.verify.object_set import Assumptions
from enforcer.kubernetes.verify.verdicts import Verdict, verify

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

_PORTS = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.sampled_from([8081, 9100, 443])}, optional={"protocol": st.sampled_from(["TCP", "UDP"])}
    ),
    max_size=2,
    unique_by=lambda port: port["containerPort"],
)
_PEERS = st.lists(
    st.sampled_from(
        [
            {"podSelector": {}},
            {"podSelector": {"matchLabels": {"role": "friend"}}},
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
            {"namespaceSelector": {}, "podSelector": {"matchLabels": {"role": "friend"}}},
            {"ipBlock": {"cidr": "203.0.113.0/24"}},
        ]
    ),
    min_size=1,
    max_size=2,
)
_ALLOWED = st.lists(
    st.sampled_from(
        [
            {"port": 8080},
            {"port": 15080, "protocol": "TCP"},
            {"port": 443, "protocol": "UDP"},
            {"port": 8000, "endPort": 9200},
            {"protocol": "UDP"},
        ]
    ),
    min_size=1,
    max_size=2,
)
_SELECTORS = st.sampled_from([{}, {"matchLabels": {"app": "app"}}, {"matchLabels": {"a": "b"}}])
_RULES = st.lists(st.fixed_dictionaries({}, optional={"from": _PEERS, "ports": _ALLOWED}), max_size=2)


@st.composite
def policies(draw: st.DrawFn) -> list[Object]:
    """Draw NetworkPolicies, of which some select the pods."""
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"p{index}", "namespace": draw(st.sampled_from(["apps", "apps", "other"]))},
            "spec": {
                "podSelector": draw(
                    st.sampled_from([{}, {"matchLabels": {"app": "app"}}, {"matchLabels": {"a": "b"}}])
                ),
                "policyTypes": draw(st.sampled_from([["Ingress"], ["Ingress"], ["Egress"], ["Ingress", "Egress"]])),
                "ingress": draw(_RULES),
            },
        }
        for index in range(draw(st.integers(0, 2)))
    ]


@st.composite
def apps(draw: st.DrawFn) -> Object:
    """Draw a Deployment with a protected port, other ports, a second container and a native sidecar."""
    main = container("app", {"name": "http", "containerPort": 8080}, *draw(_PORTS))
    others = [container("other", *draw(_PORTS))] if draw(st.booleans()) else []
    taken = {port["containerPort"] for port in main["ports"]}
    for other in others:
        other["ports"] = [port for port in other["ports"] if port["containerPort"] not in taken]
    natives = {"name": "log", "image": "log:1", "restartPolicy": "Always", "ports": [{"containerPort": 6000}]}
    more: Any = {"initContainers": [natives]} if draw(st.booleans()) else {}
    app = deployment(main, *others, **more)
    app["metadata"]["namespace"] = "apps"
    return app


@st.composite
def objects(draw: st.DrawFn) -> list[Object]:
    """Draw objects after an injection, or without one; a sidecar may have been tampered with since."""
    things = [draw(apps()), {**service(), "metadata": {"name": "app", "namespace": "apps"}}]
    if draw(st.integers(0, 4)):
        wanted = options(
            draw(st.sampled_from([*Mode])),
            native=draw(st.booleans()),
            network_policy=draw(st.sampled_from([None, True, False])),
            port="http",
        )
        things = objects_after(inject_all(things, wanted))
    things = deepcopy([*things, *draw(policies())])
    spec = template(things[0])["spec"]
    every = [*spec["containers"], *(spec.get("initContainers") or ())]
    proxies = [each for each in every if each["name"].startswith("enforcer")]
    match draw(st.sampled_from([None, None, None, "image", "command", "listener", "host port", "host network"])):
        case "image" if proxies:
            draw(st.sampled_from(proxies))["image"] = "nginx"
        case "command" if proxies:
            proxies[-1]["args"][0] = "drain"
        case "listener" if proxies:
            next(each for each in proxies if each["name"] == "enforcer")["args"].append("--set=listener.address=:15090")
        case "host port":
            spec["containers"][-1]["ports"] = [{**port, "hostPort": 80} for port in spec["containers"][-1]["ports"]]
        case "host network":
            spec["hostNetwork"] = True
    return things


@EXAMPLES
@given(objects())
def test_the_verdict_equals_what_clients_reach(things: list[Object]) -> None:
    """Open: in a kind world; protected: not even in a cruel one; conditional: only there."""
    (finding,) = verify(things, Assumptions(images=frozenset({"e"})))
    kind, cruel = (reached(things[0], things, "e:1", world) for world in (KIND, CRUEL))
    note(f"{finding}\nkind {kind}\ncruel {cruel}")
    assert (finding.verdict is Verdict.OPEN) == bool(kind)
    assert (finding.verdict is Verdict.PROTECTED) == (not cruel)
    assert {(port.port.endpoint.protocol, port.port.endpoint.number) for port in finding.ports if port.opening} == kind
