"""Explanations of decisions."""

import json
from dataclasses import asdict, fields
from typing import Any

import pytest
from harness.policies import CONDITIONS, NO_CONDITIONS, NOW, REFUSALS, explained, policy

from enforcer.analysis.evaluator import Policy, PolicyRequest
from enforcer.analysis.explain import Evaluation, Explanation, RefusalSummary, UnverifiedToken, explain
from enforcer.analysis.explanation_text import write
from enforcer.counters import NO_ROUTE
from enforcer.errors import IntrospectionFailure
from enforcer.policy.rules import Rule
from enforcer.proxy.messages import responses
from enforcer.settings.resources import ProtectedResource
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.introspection.response import INACTIVE

SHOP = policy(
    {"name": "read", "path": "/shop/**", "methods": ["GET"], "scopes": ["shop.read"]},
    {"name": "write", "path": "/shop/**", "methods": ["POST", "PUT"], "scopes": ["shop.read", "shop.write"]},
    {"name": "item", "path": "/shop/items/{id}", "methods": ["GET"], "any_scope": ["items.read", "shop.read"]},
    {"name": "item here", "path": "/shop/items/{id}", "methods": ["GET"], "host": "app.example.org", "public": True},
    {"name": "featured", "path": "/shop/items/featured", "public": True},
    {
        "name": "tenant",
        "path": "/tenants/{tenant}/reports",
        "issuer": ["https://as.example.org"],
        "audience": ["reports"],
        "client_ids": ["web", "batch"],
        "claims": {"tenant": "{tenant}", "realm.roles": ["admin", "auditor"], "level": 2},
    },
)


def conditions(explanation: Explanation) -> dict[str, tuple[str, bool]]:
    return {condition.name: (condition.there, condition.met) for condition in explanation.conditions}


def test_requests_for_metadata_get_a_response_of_the_enforcer() -> None:
    """The rules do not matter; at other paths they decide."""
    rule = Rule(name="all", path="/**", scopes=("a",))
    resource = ProtectedResource(resource="https://api.example.org")
    served = Policy([(rule, "there")], resources=[resource])
    explanation = explained(served, "GET /.well-known/oauth-protected-resource")
    assert (explanation.own, explanation.judgement.decision, explanation.judgement.reason) == (True, "allow", "public")
    assert [(candidate.rule, candidate.choice) for candidate in explanation.candidates] == [
        ("metadata of https://api.example.org", "chosen"),
        ("all", "less_specific"),
    ]
    assert "answer: the enforcer's own" in write(explanation)
    assert explained(served, "GET /.well-known/oauth-protected-resource/x").judgement.reason == "missing_token"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, ("no expiry", True)),
        ({"exp": NOW + 1}, ("expires in 1 s", True)),
        ({"exp": NOW}, ("expired 0 s ago", False)),
        ({"exp": NOW - 9}, ("expired 9 s ago", False)),
        ({"nbf": NOW + 3, "exp": NOW + 9}, ("expires in 9 s", True)),
    ],
)
def test_the_validity_of_a_token_is_relative_to_now(claims: dict[str, Any], expected: tuple[str, bool]) -> None:
    """In seconds until `exp`, or since."""
    assert conditions(explained(SHOP, "GET /shop", claims))["time"] == expected


def test_every_key_of_a_rule_is_a_condition_or_is_none() -> None:
    """A new key is put into one of the two lists, so that no condition is forgotten by `explain` and `lint`."""
    assert {field.name for field in fields(Rule)} == CONDITIONS.keys() | NO_CONDITIONS
    assert CONDITIONS.keys().isdisjoint(NO_CONDITIONS)


@pytest.mark.parametrize("key", CONDITIONS)
def test_every_condition_of_a_rule_is_explained(key: str) -> None:
    """A token that lacks only this is denied, and the explanation names the condition that is not met."""
    explanation = explained(policy({"path": "/a", key: CONDITIONS[key]}), "GET /a", {})
    assert explanation.judgement.decision == "deny"
    unmet = [condition.name for condition in explanation.conditions if not condition.met]
    assert [name.partition(".")[0] for name in unmet] == [key]


def test_one_unmet_condition_hides_no_other() -> None:
    """One explanation shows everything to change."""
    actual = conditions(explained(SHOP, "GET /shop", {"exp": NOW - 1, "scope": "shop.read"}))
    assert actual["time"] == ("expired 1 s ago", False)
    assert actual["scopes"] == ("shop.read", True)


@pytest.mark.parametrize(
    ("evidence", "there"),
    [
        (INACTIVE, {"token": ("one", True), "state": ("inactive", False)}),
        (NoToken.MALFORMED, {"token": ("not a valid token (RFC 6750 §2.1)", False), "state": ("nothing", False)}),
        (NoToken.INVALID_REQUEST, {"token": ("several, or credentials that cannot be read", False)}),
    ],
)
def test_a_missing_or_malformed_token_is_described(evidence: Any, there: dict[str, tuple[str, bool]]) -> None:
    """With the kind of fault."""
    explanation = explain(SHOP, PolicyRequest("GET", "/shop"), lambda _: evidence, NOW, REFUSALS)
    actual = conditions(explanation)
    assert {name: actual[name] for name in there} == there
    assert actual["scopes"] == ("unknown", False)


def test_a_failed_verification_is_explained() -> None:
    """With the response that the client gets."""
    unknown = UnverifiedToken(IntrospectionFailure.TIMEOUT, responses.not_verified(5))
    explanation = explain(SHOP, PolicyRequest("GET", "/shop"), lambda _: unknown, NOW, REFUSALS)
    detail = "the authorization server could not verify the token"
    assert explanation.judgement == Evaluation(
        "read", "error", "introspection_timeout", RefusalSummary(503, detail, (), 5)
    )
    assert conditions(explanation)["state"] == ("unknown", False)


def test_an_explanation_is_plain_values() -> None:
    """For JSON output."""
    values = json.loads(json.dumps(asdict(explained(SHOP, "GET /shop", {"scope": "shop.read"}))))
    assert values == {
        "method": "GET",
        "target": "/shop",
        "host": "",
        "preflight": "",
        "path": "/shop",
        "candidates": [
            {"rule": "read", "where": "rules.yaml:1", "path": "/shop/**", "choice": "chosen", "why": "chosen"},
            {
                "rule": "write",
                "where": "rules.yaml:2",
                "path": "/shop/**",
                "choice": "other_method",
                "why": "not for GET: for POST, PUT",
            },
        ],
        "conditions": [
            {"name": "token", "needed": "an access token", "there": "one", "met": True},
            {"name": "state", "needed": "active", "there": "active", "met": True},
            {"name": "time", "needed": "valid now", "there": "no expiry", "met": True},
            {"name": "scopes", "needed": "shop.read", "there": "shop.read", "met": True},
        ],
        "upstream": None,
        "readings": [],
        "parting": None,
        "others": [],
        "own": False,
        "judgement": {"rule": "read", "decision": "allow", "reason": "ok", "reply": None, "enforced": None},
    }


@pytest.mark.parametrize("value", ["x" * 200, {"a": "b" * 200}])
def test_a_long_claim_is_shortened(value: Any) -> None:
    """Claims have any length."""
    found_in: Policy = policy({"path": "/**", "claims": {"c": "a"}})
    there, met = conditions(explained(found_in, "GET /a", {"c": value}))["claims.c"]
    assert (len(there), there[-1], met) == (100, "…", False)


def test_no_rule_is_named_as_metrics_name_it() -> None:
    """So that a search for one finds the other."""
    assert explained(policy({"path": "/a", "public": True}), "GET /b").judgement.rule == NO_ROUTE


FILES = policy(
    {"name": "public", "path": "/public/**", "public": True},
    {"name": "read", "path": "/files/**", "scopes": ["files"]},
    {"name": "write", "path": "/files/**", "methods": ["PUT"], "scopes": ["write"]},
    {"name": "admin", "path": "/files/admin/**", "public": True},
    {"name": "trial", "path": "/trial/**", "mode": "report", "scopes": ["admin"]},
    {"name": "closed", "path": "/closed/**", "mode": "report", "nobody": True},
    {"name": "other", "path": "/other/**", "authorization_server": "other", "scopes": ["files"]},
    {"name": "in header", "path": "/a", "methods": ["POST"], "scopes": ["files"], "token_from": {"header": "X-T"}},
    {"name": "in cookie", "path": "/a", "methods": ["DELETE"], "scopes": ["files"], "token_from": {"cookie": "t"}},
    {"name": "anywhere", "path": "/a", "methods": ["PUT"], "any_scope": ["files"],
     "token_from": {"bearer": True, "header": "X-T"}},
)  # fmt: skip
OVERRIDE = "X-HTTP-Method-Override"
CLAIMED = {"scope": "files"}


@pytest.mark.parametrize(
    ("request_", "field", "claims", "reason", "status"),
    [
        ("MOVE /public/a", ("Destination", "/public/b"), None, "public", None),
        ("MOVE /public/a", ("Destination", "/files/b"), {"scope": "files write"}, "other_target", 401),
        ("MOVE /files/a", ("Destination", "/files/b"), {"scope": "files write"}, "ok", None),
        ("MOVE /files/a", ("Destination", "/files/b"), CLAIMED, "other_target", 403),
        ("MOVE /files/a", ("Destination", "/trial/b"), CLAIMED, "ok", None),
        ("MOVE /files/a", ("Destination", "/other/b"), CLAIMED, "other_target", 401),
        ("MOVE /files/a", ("Destination", "/nowhere"), CLAIMED, "other_target", 403),
        ("MOVE /files/a", ("Destination", "/files%2Fb"), CLAIMED, "other_target", 400),
        ("MOVE /files/a", ("Destination", "/%00"), CLAIMED, "other_target", 400),
        ("MOVE /trial/a", ("Destination", "/files/b"), CLAIMED, "other_target", 403),
        ("MOVE /closed/a", ("Destination", "/files/b"), {"scope": "files write"}, "other_target", 401),
        ("GET /files/a", ("Destination", "/nowhere"), CLAIMED, "ok", None),
        ("POST /files/a", (OVERRIDE, "put"), CLAIMED, "other_target", 403),
        ("POST /files/a", (OVERRIDE, "DELETE"), CLAIMED, "ok", None),
        ("POST /files/a", (OVERRIDE, "CONNECT"), CLAIMED, "other_target", 403),
        ("POST /a", (OVERRIDE, "PUT"), CLAIMED, "ok", None),
        ("PUT /a", (OVERRIDE, "POST"), CLAIMED, "other_target", 401),
        ("POST /a", (OVERRIDE, "DELETE"), CLAIMED, "other_target", 401),
    ],
)
def test_methods_and_targets_that_fields_name_are_decided_too(
    request_: str, field: tuple[str, str], claims: dict[str, Any] | None, reason: str, status: int | None
) -> None:
    """By their own rules and with the same token, as the request path does."""
    explanation = explained(FILES, request_, claims, "app", (field,))
    reply = explanation.judgement.reply
    assert (explanation.judgement.reason, None if reply is None else reply.status) == (reason, status)
    assert [other.allowed for other in explanation.others] in ([], [reason != "other_target"])


def test_the_text_names_the_methods_and_targets_of_fields() -> None:
    """Each with its rule; those of a request that is denied by itself are not decided."""
    destination = ("Destination", "/files/b")
    text = write(explained(FILES, "MOVE /files/a", CLAIMED, "app", (destination, ("X-HTTP-Method", "COPY"))))
    assert (
        """
also named by fields of the request, and decided with the same token:
  ✓  COPY  /files/a  rule "read"
  ✗  PUT   /files/b  rule "write"

decision: deny, other_target
"""
        in text
    )
    assert '  -  PUT  /files/b  rule "write"\n' in write(explained(FILES, "MOVE /files/a", None, "app", (destination,)))
