"""Comparing an OpenAPI document with a policy."""

from __future__ import annotations

from typing import Any

from harness.policies import policy

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.openapi.comparison import Comparison, compare
from enforcer.analysis.openapi.reader import read


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
