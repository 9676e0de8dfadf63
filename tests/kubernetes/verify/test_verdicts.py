"""The verdict on a workload follows from its objects, not from names, labels and annotations."""

from __future__ import annotations

from typing import Any

import pytest
from harness.kubernetes.injection import objects_after, options
from harness.kubernetes.manifests import Object, container, deployment, find, pod_spec, service, template

from enforcer.kubernetes.inject.injector import inject_all
from enforcer.kubernetes.sidecar import Mode
from enforcer.kubernetes.verify.object_set import Assumptions
from enforcer.kubernetes.verify.verdicts import Finding, Verdict, verify

IMAGES = frozenset({"e"})


def protected(mode: Mode = Mode.PORT, app: Object | None = None, **more: Any) -> list[Object]:
    """Return a Deployment with the enforcer, a Service, and what an injection adds."""
    return objects_after(inject_all([app or deployment(), service()], options(mode, **more)))


def finding(objects: list[Object], **assumptions: Any) -> Finding:
    """Return the finding on the only workload, in the oldest version that finds native sidecars by name."""
    (only,) = verify(objects, Assumptions(**{"images": IMAGES, "oldest": (1, 32), **assumptions}))
    return only


def details(result: Finding) -> str:
    return "; ".join(opening.detail for opening in result.openings)


def sidecar(objects: list[Object]) -> Any:
    """Return the enforcer's container, which a test changes."""
    spec = pod_spec(find(objects, "Deployment"))
    return next(each for each in [*spec["containers"], *spec.get("initContainers", [])] if each["name"] == "enforcer")


def network_policy(*ingress: Object, name: str = "other", **selector: str) -> Object:
    """Return a NetworkPolicy for pods with these labels."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": selector} if selector else {}, "ingress": list(ingress)},
    }


@pytest.mark.parametrize(
    ("mode", "settings", "verdict"),
    [
        (Mode.PORT, {}, Verdict.CONDITIONAL),
        (Mode.PORT, {"network_policy": False}, Verdict.OPEN),
        (Mode.LOOPBACK, {}, Verdict.PROTECTED),
        (Mode.LOOPBACK, {"native": False}, Verdict.CONDITIONAL),
        (Mode.TRANSPARENT, {}, Verdict.PROTECTED),
        (Mode.TRANSPARENT, {"native": False}, Verdict.PROTECTED),
    ],
)
def test_each_mode_has_its_verdict(mode: Mode, settings: Any, verdict: Verdict) -> None:
    """Mode port depends on the network, and a classic sidecar in mode loopback on the app."""
    result = finding(protected(mode, **settings))
    assert (result.verdict, result.protected) == (verdict, frozenset({8080}))
    assert bool(result.openings) == (verdict is Verdict.OPEN)


def test_without_policies_the_network_closes_nothing() -> None:
    """A policy that the network does not enforce closes nothing."""
    assert finding(protected(), enforced=False).verdict is Verdict.OPEN


def test_a_replaced_image_is_no_enforcer() -> None:
    """The name of the container, the label and the status annotation prove nothing."""
    objects = protected(Mode.LOOPBACK)
    sidecar(objects)["image"] = "nginx:1"
    result = finding(objects)
    assert result.verdict is Verdict.OPEN
    assert "is not recognized as the enforcer: image nginx:1" in " ".join(result.notes)


@pytest.mark.parametrize("command", [["sh", "-c", "enforcer run"], ["nginx"], ["enforcer", "drain"]])
def test_another_command_is_no_enforcer(command: list[str]) -> None:
    """The image holds other programs, too."""
    objects = protected(Mode.LOOPBACK)
    sidecar(objects).update(command=command, args=[])
    assert finding(objects).verdict is Verdict.OPEN


def test_the_port_that_the_enforcer_listens_on_decides() -> None:
    """Not the mode in the status annotation: an override can move the listener."""
    objects = protected(Mode.LOOPBACK)
    sidecar(objects)["args"].append("--set=listener.address=:9000")
    assert finding(objects).verdict is Verdict.OPEN


def test_a_listener_at_some_addresses_only_leaves_the_others_to_the_app() -> None:
    """As with the first address of a pod with two IP families."""
    objects = protected(Mode.LOOPBACK)
    entry = next(entry for entry in sidecar(objects)["env"] if entry["name"] == "POD_IPS")
    entry["valueFrom"]["fieldRef"]["fieldPath"] = "status.podIP"
    assert finding(objects).verdict is Verdict.OPEN


def test_report_mode_is_an_opening() -> None:
    """Denied requests reach the app."""
    objects = protected(Mode.LOOPBACK)
    sidecar(objects)["args"].append("--set=mode=report")
    assert "mode: report" in details(finding(objects))


@pytest.mark.parametrize(
    "policy",
    [
        {"config.yaml": "mode: report"},
        {"config.yaml": "rules: [{name: a, path: /**, mode: report}]"},
        {"config.yaml": "rule_defaults: {mode: report}"},
        {"config.yaml": "rule_files: [a.yaml]", "a.yaml": "rules: [{name: a, path: /**, mode: report}]"},
        {"config.yaml": "rule_files: [b]", "b": "{rule_defaults: {mode: report}, rules: [{name: a, path: /}]}"},
    ],
)
def test_report_mode_is_found_in_the_policy(policy: dict[str, str]) -> None:
    """If its ConfigMap is among the objects, in any of its files."""
    objects = protected(Mode.LOOPBACK, policy=policy)
    assert finding(objects).verdict is Verdict.OPEN


def test_metrics_that_the_admin_port_serves_are_noted() -> None:
    """They need no token there, which is what `--scrape passthrough` asks for."""
    app = deployment()
    template(app)["metadata"]["annotations"] = {"prometheus.io/port": "8080"}
    result = finding(protected(Mode.LOOPBACK, app, scrape_passthrough=True))
    assert "port 15081 serves the app's metrics without a token" in result.notes


@pytest.mark.parametrize(
    ("target", "leads"), [("http", False), ("app-http", True), (8080, True), (15080, False), (None, True)]
)
def test_a_service_that_leads_to_the_app_is_named(target: Any, leads: bool) -> None:
    """By name, by number, and by its own port; several Services, too."""
    objects = protected(network_policy=False)
    extra = service(target, name="extra")
    extra["spec"]["ports"][0]["port"] = 8080
    assert ("service/extra port 8080" in details(finding([*objects, extra]))) is leads
    assert "service/app" not in details(finding([*objects, extra]))


def test_a_name_that_the_app_kept_leads_to_the_app() -> None:
    """Containers are searched before native sidecars."""
    objects = protected(network_policy=False)
    pod_spec(objects[0])["containers"][0]["ports"][0]["name"] = "http"
    assert "service/app port 80, " in details(finding(objects))


def test_a_named_target_finds_no_native_sidecar_before_version_1_32() -> None:
    """An outage, which is worth a note."""
    result = finding(protected(), oldest=(1, 29))
    assert result.notes[-1] == "service/app port 80 before Kubernetes 1.32 finds no such port in its pods"


def test_a_service_in_front_of_a_closed_port_is_noted() -> None:
    """Its clients fail, but nothing is open."""
    result = finding([*protected(), service(8080, name="late")])
    assert result.verdict is Verdict.CONDITIONAL
    assert "service/late port 80 leads to TCP port app-http 8080 of app, which the network closes" in " ".join(
        result.notes
    )


@pytest.mark.parametrize(
    ("ingress", "clients"),
    [
        ({}, "every client"),
        ({"ports": [{"port": 8080}]}, "every client"),
        ({"ports": [{"port": 8000, "endPort": 9000}]}, "every client"),
        ({"ports": [{"port": "app-http"}]}, "every client"),
        ({"from": [{"podSelector": {}}]}, "every pod of the namespace"),
        ({"from": [{"namespaceSelector": {}}]}, "every namespace"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, "10.0.0.0/8"),
        ({"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}, "pods with a=b"),
    ],
)
def test_policies_add_up(ingress: Object, clients: str) -> None:
    """No policy closes a port that another one admits."""
    result = finding([*protected(), network_policy(ingress, app="app")])
    assert details(result).endswith(f"networkpolicy/other admits {clients}")


@pytest.mark.parametrize(
    "policy",
    [
        network_policy({"ports": [{"port": 15080}]}),
        network_policy({"ports": [{"port": 8080, "protocol": "UDP"}]}),
        network_policy({}, app="another"),
        network_policy(),
        {**network_policy({}), "metadata": {"name": "other", "namespace": "elsewhere"}},
    ],
)
def test_a_policy_for_something_else_opens_nothing(policy: Object) -> None:
    """For another port, protocol, pod or namespace."""
    app = deployment()
    app["metadata"]["namespace"] = "shop"
    result = finding([*protected(app=app), policy], namespace="shop")
    assert result.verdict is Verdict.CONDITIONAL


def test_of_two_policies_with_one_name_the_last_one_counts() -> None:
    """As kubectl applies them."""
    objects = protected()
    (mine,) = (obj for obj in objects if obj["kind"] == "NetworkPolicy")
    twin = {**mine, "spec": {**mine["spec"], "podSelector": {"matchLabels": {"app": "twin"}}}}
    assert finding([*objects, twin]).verdict is Verdict.OPEN
    assert finding([twin, *objects]).verdict is Verdict.CONDITIONAL


def test_in_an_unknown_namespace_a_policy_closes_nothing_and_may_open() -> None:
    """An unknown fact counts as an opening."""
    objects = protected()
    policy = next(obj for obj in objects if obj["kind"] == "NetworkPolicy")
    policy["metadata"]["namespace"] = "shop"
    assert finding(objects).verdict is Verdict.OPEN
    assert finding(objects, namespace="shop").verdict is Verdict.CONDITIONAL
    other = {**network_policy({}), "metadata": {"name": "other", "namespace": "shop"}}
    assert finding([*protected(), other]).verdict is Verdict.OPEN


def test_policies_of_other_apis_are_a_condition() -> None:
    """They are not evaluated, and can admit clients."""
    cilium = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "c"}}
    conditions = finding([*protected(), cilium]).conditions
    assert conditions[-1] == "ciliumnetworkpolicy/c, which is not evaluated, admits nobody"


@pytest.mark.parametrize("mode", Mode)
def test_every_other_port_counts(mode: Mode) -> None:
    """UDP ports, other containers' and other native sidecars' ports."""
    app = deployment(
        container("app", {"name": "http", "containerPort": 8080}, {"containerPort": 443, "protocol": "UDP"}),
        container("cache", {"containerPort": 6379}),
        initContainers=[{"name": "mesh", "image": "m", "restartPolicy": "Always", "ports": [{"containerPort": 15090}]}],
    )
    openings = details(finding(protected(mode, app, network_policy=False, container="app")))
    for port in ("UDP port 443 of app", "TCP port 6379 of cache", "TCP port 15090 of mesh"):
        assert port in openings
    assert ("8080" in openings) is (mode is Mode.PORT)


def test_probes_and_scrapes_tell_of_undeclared_ports() -> None:
    """An app may listen without declaring it."""
    probe = {"httpGet": {"path": "/", "port": 8081}}
    app = deployment({"name": "app", "ports": [{"containerPort": 8080}], "readinessProbe": probe})
    template(app)["metadata"]["annotations"] = {"prometheus.io/port": "9102"}
    openings = details(finding(protected(Mode.TRANSPARENT, app)))
    assert "TCP port 8081 of app" in openings
    assert "TCP port 9102:" in openings


def test_a_foreign_container_on_the_port_of_the_enforcer_is_an_opening() -> None:
    """It may be there first: 15080 belongs to a mesh, for example."""
    objects = protected()
    pod_spec(objects[0])["containers"].append(container("mesh", {"containerPort": 15080}))
    assert "TCP port 15080 of mesh" in details(finding(objects))


def test_a_native_sidecar_before_the_enforcer_can_take_its_port() -> None:
    """In mode loopback, containers after it cannot."""
    objects = protected(Mode.LOOPBACK)
    early = {"name": "early", "image": "log:2", "restartPolicy": "Always", "ports": [{"containerPort": 8080}]}
    pod_spec(objects[0])["initContainers"].append(early)
    assert finding(objects).verdict is Verdict.PROTECTED
    pod_spec(objects[0])["initContainers"].reverse()
    assert finding(objects).verdict is Verdict.OPEN


def test_a_native_sidecar_without_startup_probe_may_listen_after_the_app() -> None:
    """The kubelet waits for the probe only."""
    objects = protected(Mode.LOOPBACK)
    del sidecar(objects)["startupProbe"]
    assert finding(objects).verdict is Verdict.CONDITIONAL


@pytest.mark.parametrize("mode", Mode)
def test_host_network_is_open(mode: Mode) -> None:
    """No policy and no address of the pod closes a port of the node."""
    objects = protected(mode)
    pod_spec(objects[0])["hostNetwork"] = True
    assert "the network of the node" in details(finding(objects))


@pytest.mark.parametrize(("mode", "is_open"), [(Mode.PORT, True), (Mode.LOOPBACK, False), (Mode.TRANSPARENT, False)])
def test_a_host_port_leads_to_the_app_in_mode_port(mode: Mode, is_open: bool) -> None:
    """In the other modes it leads to the enforcer."""
    objects = protected(mode)
    app = next(each for each in pod_spec(objects[0])["containers"] if each["name"] == "app")
    app["ports"][0]["hostPort"] = 80
    assert ("hostPort 80" in details(finding(objects))) is is_open


@pytest.mark.parametrize(
    "arguments", [["redirect", "8081", "15080"], ["redirect", "8080", "15081"], ["drain", "8080", "15080"]]
)
def test_a_redirect_protects_its_own_port_only(arguments: list[str]) -> None:
    """And only if it leads to the enforcer."""
    objects = protected(Mode.TRANSPARENT)
    init = next(each for each in pod_spec(objects[0])["initContainers"] if each["name"] == "enforcer-redirect")
    init["args"] = arguments
    assert finding(objects).verdict is Verdict.OPEN


def test_accepted_ports_may_be_open_but_not_the_protected_one() -> None:
    """By name or number, with the protocol."""
    app = deployment(
        container("app", {"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9100})
    )
    objects = protected(Mode.LOOPBACK, app, port="http")
    assert finding(objects).verdict is Verdict.OPEN
    assert finding(objects, accepted=frozenset({"metrics"})).verdict is Verdict.PROTECTED
    assert finding(objects, accepted=frozenset({"9100/udp"})).verdict is Verdict.OPEN
    bare = protected(Mode.PORT, network_policy=False)
    assert finding(bare, accepted=frozenset({"8080", "app-http"})).verdict is Verdict.OPEN


@pytest.mark.parametrize(
    ("app", "verdict"),
    [
        (deployment(), Verdict.OPEN),
        (deployment({"name": "worker"}), Verdict.PORTLESS),
        ({**deployment(), "kind": "DeploymentConfig", "apiVersion": "apps.openshift.io/v1"}, Verdict.OPEN),
        ({"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [{"spec": deployment()["spec"]}]}, Verdict.OPEN),
    ],
)
def test_a_workload_without_an_enforcer(app: Object, verdict: Verdict) -> None:
    """Of any kind, also in lists whose members have no kind."""
    assert finding([app]).verdict is verdict


def test_a_label_excludes_a_workload() -> None:
    """On purpose, which is neither protected nor an error."""
    app = deployment()
    template(app)["metadata"]["labels"]["enforcer.dev/inject"] = "disabled"
    assert finding([app]).verdict is Verdict.EXCLUDED


def test_a_former_revision_without_pods_is_left_out() -> None:
    """A cluster keeps ten of them for each Deployment."""
    former = {**deployment(), "kind": "ReplicaSet"}
    former["metadata"] = {
        "name": "app-1",
        "ownerReferences": [{"kind": "Deployment", "name": "app", "controller": True}],
    }
    former["spec"] = {**former["spec"], "replicas": 0}
    assert verify([former]) == []


def gateway(**labels: str) -> Object:
    """Return an enforcer in front of other pods."""
    arguments = ["run", "config.yaml", "--set=upstream.url=http://app:8080", "--set=listener.address=:8091"]
    proxy = deployment({"name": "proxy", "image": "e:1", "command": ["enforcer"], "args": arguments}, name="gateway")
    template(proxy)["metadata"]["labels"] = labels
    return proxy


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ([gateway(role="gate")], Verdict.CONDITIONAL),
        ([], Verdict.OPEN),
        ([gateway(role="other")], Verdict.OPEN),
        ([gateway(role="gate"), deployment(name="gate")], Verdict.OPEN),
    ],
)
def test_an_app_behind_a_gateway_is_protected_by_a_policy(others: list[Object], verdict: Verdict) -> None:
    """That admits pods of enforcers only."""
    for other in others[1:]:
        template(other)["metadata"]["labels"] = {"role": "gate"}
    assert verify_behind(others, {"matchLabels": {"role": "gate"}}) is verdict


@pytest.mark.parametrize(
    ("selector", "verdict"),
    [
        ({"matchExpressions": [{"key": "role", "operator": "In", "values": ["gate"]}]}, Verdict.CONDITIONAL),
        ({"matchExpressions": [{"key": "role", "operator": "NotIn", "values": ["x"]}]}, Verdict.OPEN),
        ({}, Verdict.OPEN),
    ],
)
def test_a_selector_of_gateways_names_their_labels(selector: Object, verdict: Verdict) -> None:
    """A selector that only excludes labels admits every other pod."""
    assert verify_behind([gateway(role="gate")], selector) is verdict


def test_a_gateway_in_report_mode_protects_nothing() -> None:
    """It forwards what it would deny."""
    proxy = gateway(role="gate")
    pod_spec(proxy)["containers"][0]["args"].append("--set=mode=report")
    assert verify_behind([proxy], {"matchLabels": {"role": "gate"}}) is Verdict.OPEN


def verify_behind(others: list[Object], selector: Object) -> Verdict:
    """Return the verdict on an app whose policy admits pods by a selector, with these other workloads."""
    rule = {"from": [{"podSelector": selector}]}
    first = verify([deployment(), network_policy(rule, app="app"), *others], Assumptions(images=IMAGES))[0]
    return first.verdict


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "policyTypes"), True),
        (("spec", "podSelector"), {"matchExpressions": [{"key": [], "operator": "In", "values": True}]}),
        (("spec", "ingress"), [{"from": [[]], "ports": [{"port": [], "endPort": {}}]}]),
    ],
)
def test_objects_that_no_api_server_accepts_are_no_traceback(path: tuple[str, str], value: Any) -> None:
    """Files can have anything; an unknown fact counts as an opening."""
    objects = protected()
    find(objects, "NetworkPolicy")[path[0]][path[1]] = value
    for each in pod_spec(objects[0])["initContainers"]:
        each.update(command=1, args={}, env=[1], volumeMounts=[{"name": []}])
    assert finding(objects).verdict is Verdict.OPEN
