"""Comparing an OpenAPI document with a policy."""

from __future__ import annotations

from typing import Any

import pytest
from harness.policies import policy

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.openapi.comparison import Comparison, compare
from enforcer.analysis.openapi.reader import read
from enforcer.policy.hierarchy import ScopeHierarchy


def compared(paths: dict[str, Any], rules: Policy) -> Comparison:
    schemes = {"oauth": {"type": "oauth2"}}
    servers = [{"url": "https://api.example.org"}]
    return compare(
        read({"openapi": "3.1.0", "paths": paths, "servers": servers, "components": {"securitySchemes": schemes}}),
        rules,
    )


def weaker(differences: Comparison) -> list[tuple[str, str, str]]:
    return [(each.entry.rule.name, each.label, each.lacks) for each in differences.weaker]


def test_operations_without_a_rule_and_rules_without_an_operation_are_reported() -> None:
    """By evaluating a request for each operation."""
    public: dict[str, Any] = {"security": []}
    differences = compared(
        {
            "/pets": {"get": {**public, "operationId": "list"}, "post": {**public, "operationId": "add"}},
            "/pets/{id}": {"get": public},
            "/pets/{id}/photo": {"get": public},
            "/caf%C3%A9/a b": {"get": public},
        },
        policy(
            {"path": "/pets", "methods": ["GET"], "public": True},
            {"path": "/pets/{x}", "host": "*.internal", "public": True},
            {"path": "/café/a b", "public": True},
            {"path": "/owners/**", "public": True},
        ),
    )
    assert differences.without_rule == ("POST /pets (add)", "GET /pets/{id}/photo (GET /pets/{id}/photo)")
    assert [entry.rule.name for entry in differences.without_operation] == ["/owners/**"]
    assert differences.weaker == ()


def test_a_rule_that_requires_less_than_an_operation_is_reported() -> None:
    """That a rule matches is not enough; a stricter rule is good."""
    paths = {"/a": {"get": {"operationId": "a", "security": [{"oauth": ["r"]}]}}, "/b": {"get": {"operationId": "b"}}}
    everything = policy({"path": "/**", "public": True})
    assert weaker(compared(paths, everything)) == [("/**", "GET /a (a)", "a token"), ("/**", "GET /b (b)", "a token")]
    assert weaker(compared(paths, policy({"path": "/**", "authenticated": True}))) == [("/**", "GET /a (a)", "scope r")]
    assert not compared(paths, policy({"path": "/**", "scopes": ["r", "s"]}))
    (report, _) = weaker(compared(paths, policy({"path": "/**", "scopes": ["r", "s"], "mode": "report"})))
    assert report == ("/**", "GET /a (a)", "anything (mode: report)")


@pytest.mark.parametrize(
    ("rule", "lacks"),
    [
        ({"path": "/a/{id}", "scopes": ["r"], "query": {"q": "1"}}, []),
        ({"path": "/a/{id}", "public": True, "query": {"q": "1"}}, ["a token"]),
        ({"path": "/a/{id}", "public": True, "addresses": ["10.0.0.0/8"]}, ["a token"]),
        ({"path": "/a/{id}", "authenticated": True, "headers": {"X-T": "{id}"}}, ["scope r"]),
        ({"path": "/a/{id}", "any_scope": ["r", "r:{id}"]}, ["scope r"]),
        ({"path": "/a/{id}", "any_of": [{"scopes": ["r"]}, {"claims": {"sub": "{id}"}}]}, ["scope r"]),
        ({"path": "/a/{id}", "any_of": [{"scopes": ["r", "s"]}, {"scopes": ["r"], "acr": ["gold"]}]}, []),
        ({"path": "/a/{id}", "nobody": True}, []),
        ({"paths": ["/b", "/a/{id}"], "scopes": ["r"]}, []),
        ({"path": "/a/{id}", "host": "{tenant}.example.org", "claims": {"tenant": "{tenant}"}}, ["scope r"]),
    ],
)
def test_rules_with_any_condition_are_compared(rule: dict[str, Any], lacks: list[str]) -> None:
    """A condition on the request does not replace one on the token; nobody at all is always strict enough."""
    paths = {"/a/{id}": {"get": {"security": [{"oauth": ["r"]}]}}}
    differences = compared(paths, policy({"name": "rule", **rule}))
    assert [each.lacks for each in differences.weaker] == lacks
    assert differences.without_rule == ()


@pytest.mark.parametrize("path", ["/a/{id}.json", "/a/{id}:publish", "/a/v{id}", "/a/%C3%A9", "/a/me", "/**"])
def test_a_rule_of_any_form_is_compared_at_its_own_path(path: str) -> None:
    """A weaker one beside the operation's own rule is found by a path that it matches."""
    paths = {"/a/{id}": {"get": {"operationId": "a", "security": [{"oauth": ["r"]}]}}}
    own = {"path": "/a/{x}", "methods": ["GET"], "scopes": ["r"]}
    differences = compared(paths, policy(own, {"path": path, "public": True}))
    assert weaker(differences) == ([] if path == "/**" else [(path, f"GET {path} (a)", "a token")])


def test_a_more_specific_rule_must_not_require_less_than_the_operation_around_it() -> None:
    """A request for /users/me is one of the operation /users/{id}, if the document has no /users/me."""
    paths = {"/users/{id}": {"get": {"operationId": "user", "security": [{"oauth": ["r"]}]}}}
    rules = policy({"path": "/users/{id}", "scopes": ["r"]}, {"path": "/users/me", "public": True})
    assert weaker(compared(paths, rules)) == [("/users/me", "GET /users/me (user)", "a token")]
    both = {**paths, "/users/me": {"get": {"security": []}}}
    assert not compared(both, rules)


def test_an_operation_that_was_left_out_needs_a_rule_that_requires_as_much() -> None:
    """If its requirement is unknown, no rule does."""
    paths = {"/a": {"get": {"security": "oauth"}}, "/b{x}{y}": {"get": {"security": []}}}
    assert [line.split(",")[0] for line in compared(paths, policy({"path": "/c", "public": True})).without_rule] == [
        "GET /a",
        "GET /b{x}{y}",
    ]
    differences = compared(paths, policy({"path": "/{x}", "scopes": ["r"]}))
    assert weaker(differences) == [
        ("/{x}", "GET /a, which was left out", "what the operation requires, which is unknown")
    ]


@pytest.mark.parametrize(("scope", "lacks"), [("repo", ""), ("public_repo", ""), ("status", "scope public_repo")])
def test_a_scope_that_includes_the_needed_one_is_as_much(scope: str, lacks: str) -> None:
    """A rule with the needed scope accepts tokens with the wider one, too (`scope_implies`)."""
    hierarchy = ScopeHierarchy({"repo": ["public_repo"], "public_repo": ["status"]})
    paths = {"/a": {"get": {"security": [{"oauth": ["public_repo"]}]}}}
    rules = policy({"path": "/a", "methods": ["GET"], "scopes": [scope]}, hierarchy=hierarchy)
    assert [each.lacks for each in compared(paths, rules).weaker] == ([lacks] if lacks else [])
