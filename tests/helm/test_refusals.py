"""Invalid values are refused before anything is installed, with a message that names them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness.kubernetes.charts import ENFORCER, merged, refusal, under, values
from jsonschema import Draft202012Validator

from helm.values import Value, read

VALUES = read((ENFORCER / "values.yaml").read_text("utf-8"))
SCHEMA = Draft202012Validator(json.loads((ENFORCER / "values.schema.json").read_text("utf-8")))
SECTIONS = [value for value in VALUES if value.is_section and value.name != "global"]
RULE = {"name": "all", "path": "/**", "authenticated": True}
WRONG: dict[type, Any] = {bool: "yes", int: [], str: 1, list: "text", dict: "text", type(None): []}


def by_name(value: Value) -> str:
    return value.name


def refused(**changes: Any) -> str:
    """Return the error for the minimal values with changes at dotted paths (written `__`)."""
    result = values("minimal")
    for name, value in changes.items():
        result = merged(result, under(name.replace("__", "."), value))
    return refusal(result)


def test_a_typo_at_the_top_level_is_refused() -> None:
    """Helm names the key."""
    assert "replicas" in refused(replicas=3)


@pytest.mark.parametrize("section", SECTIONS, ids=by_name)
def test_a_typo_in_a_section_is_refused(section: Value) -> None:
    """In every section of the chart."""
    assert "typo" in refusal(merged(values("minimal"), under(f"{section.name}.typo", 1)))


@pytest.mark.parametrize("value", [value for value in VALUES if not value.is_section], ids=by_name)
def test_a_value_of_another_type_is_refused(value: Value) -> None:
    """For example a number by `--set` for a string."""
    wrong = WRONG[type(value.default)]
    assert not SCHEMA.is_valid(merged(values("minimal"), under(value.name, wrong)))
    assert SCHEMA.is_valid(merged(values("minimal"), under(value.name, value.default)))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"config": {"cache": {"tll": "5s"}}}, "tll"),
        ({"config": {"forwarding": {"authorization": "keep"}}}, "authorization"),
        ({"config": {"rules": [RULE]}}, "rules"),
        ({"policy": {"rules": [{**RULE, "scope": ["read"]}]}}, "scope"),
        ({"policy": {"rules": [{"name": "all"}]}}, "path"),
        ({"policy": {"rules": [{**RULE, "paths": ["/other"]}]}}, "/policy/rules/0"),
        ({"policy": {"rules": [{**RULE, "path": "reports"}]}}, "/policy/rules/0/path"),
        ({"policy": {"rules": [{**RULE, "methods": ["get"]}]}}, "/policy/rules/0/methods/0"),
        ({"config": {"upstream": {"url": "app:8080"}}}, "/config/upstream/url"),
    ],
    ids=[
        "a setting",
        "a choice",
        "rules in the wrong place",
        "a condition",
        "no path",
        "two kinds of path",
        "a path",
        "a method",
        "a URL",
    ],
)
def test_a_typo_in_the_configuration_is_refused(changes: dict[str, Any], key: str) -> None:
    """The schema of the values includes the schema of the configuration."""
    assert key in refusal(merged(values("minimal"), changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"enabled": False}, "condition: enforcer.enabled"),
        ({"upstream__url": ""}, "upstream.url is required"),
        ({"upstream__url": "app:8080"}, "upstream.url is not a server such as http://app:8080, without path: app:8080"),
        ({"upstream__url": "http://app/api"}, "upstream.url is not a server"),
        ({"networkPolicy__egress__enabled": True}, "no effect without networkPolicy.enabled"),
        (
            {"networkPolicy": {"enabled": True, "egress": {"enabled": True}}},
            "networkPolicy.egress.rules is empty, so that the enforcer could reach neither the app nor",
        ),
        ({"service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6", "IPv4"]}}, "has two families"),
        ({"introspection__url": ""}, "introspection.url is required"),
        ({"introspection__clientId": ""}, "introspection.clientId or introspection.existingSecret is required"),
        ({"introspection__clientSecret": ""}, "introspection.existingSecret or introspection.clientSecret is required"),
        ({"introspection__existingSecret": "mine"}, "choose one"),
        ({"existingConfigMap": "a", "existingPolicyConfigMap": "b"}, "existingPolicyConfigMap has no effect"),
        ({"upstream__tls__clientCertificate": True}, "upstream.tls.existingSecret"),
        ({"introspection__tls__clientCertificate": True}, "introspection.tls.existingSecret"),
        ({"tests__enabled": False}, "policy.rules is empty"),
        ({"tls__enabled": True}, "tls.enabled needs"),
        ({"tls__clientCa": True}, "have no effect without tls.enabled"),
        ({"tls__enabled": True, "tls__certManager__enabled": True}, "tls.certManager.issuerRef.name is required"),
        ({"tls": {"enabled": True, "existingSecret": "a", "clientCa": True}}, "tests.enabled must be false"),
        ({"terminationGracePeriodSeconds": 25}, "terminationGracePeriodSeconds (25) must be more than"),
        ({"drain__seconds": 40}, "(45)"),
        ({"metrics__port": 8091}, "the same port"),
        ({"service__nodePort": 30000}, "service.nodePort is for"),
        ({"service__externalTrafficPolicy": "Local"}, "service.externalTrafficPolicy is for"),
        ({"service__loadBalancerClass": "a"}, "are for service.type LoadBalancer"),
        ({"ingress__enabled": True}, "ingress.hosts is required"),
        ({"httpRoute__enabled": True}, "httpRoute.parentRefs is required"),
        ({"autoscaling": {"enabled": True, "minReplicas": 11}}, "autoscaling.minReplicas is more"),
        ({"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": None}}, "needs a target"),
        ({"autoscaling__enabled": True, "resources__requests": {"cpu": None}}, "resources.requests.cpu"),
        (
            {
                "autoscaling": {"enabled": True, "targetMemoryUtilizationPercentage": 80},
                "resources__requests": {"memory": None},
            },
            "resources.requests.memory",
        ),
        ({"podDisruptionBudget__maxUnavailable": None}, "podDisruptionBudget needs"),
        ({"metrics__serviceMonitor__enabled": True, "metrics__podMonitor__enabled": True}, "twice"),
        ({"decision": [{"port": 8092, "contract": "nginx"}]}, "decision is for mode decision"),
        ({"tests__requests": [{"path": "/", "scope": "a", "status": 200}]}, "need tests.client"),
        ({"tests__client__tokenUrl": "http://auth"}, "needs tests.client.clientId"),
    ],
)
def test_conflicting_values_are_refused(changes: dict[str, Any], message: str) -> None:
    """The templates check what a schema cannot express."""
    assert message in refused(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decision": []}, "decision is empty"),
        ({"decision": [{"port": 8092, "contract": "nginx"}] * 2}, "decision: port 8092 is used twice"),
        ({"metrics": {"port": 8092}}, "or is metrics.port"),
        ({"upstream": {"url": "http://app:8080"}}, "upstream.url and config.upstreams are for mode gateway"),
        ({"config": {"decision": [{"address": ":1", "contract": "nginx"}]}}, "must be set as decision"),
        ({"ingress": {"enabled": True, "hosts": [{"host": "a"}]}}, "clients must not reach the decision API"),
        ({"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}]}}, "clients must not reach the decision API"),
        ({"service": {"appProtocol": "kubernetes.io/h2c"}}, "a port for each entry of decision"),
        ({"networkPolicy": {"ingress": {"from": []}}}, "networkPolicy.ingress.from is required in mode decision"),
        ({"tests": {"requests": [{"path": "/", "status": 200}]}}, "tests.requests are for mode gateway"),
        ({"policy": {"rules": []}}, "policy.rules is empty"),
        ({"decision": [{"port": 8092}]}, "contract"),
        ({"decision": [{"port": 8092, "contract": "apache"}]}, "/decision/0/contract"),
        ({"decision": [{"address": ":8092", "contract": "nginx"}]}, "address"),
    ],
)
def test_mode_decision_refuses_what_belongs_to_a_proxy(changes: dict[str, Any], message: str) -> None:
    """And a decision API that nobody, or everybody, could ask."""
    assert message in refusal(merged(values("decision"), changes))


def test_all_errors_are_reported_together() -> None:
    """One message lists them."""
    message = refusal({})
    assert "upstream.url is required" in message
    assert "introspection.url is required" in message


def test_an_invalid_digest_is_refused() -> None:
    """Nor with a pull policy that Kubernetes does not know."""
    assert "digest" in refused(image__digest="sha256:abc")
    assert "pullPolicy" in refused(image__pullPolicy="Sometimes")
