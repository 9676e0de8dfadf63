"""Policies for tests, made of rules as in a configuration, and their explanations."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from enforcer.analysis.evaluator import Policy, PolicyRequest, token_evidence
from enforcer.analysis.explain import EvidenceSource, Explanation, explain
from enforcer.policy.hierarchy import NO_HIERARCHY, ScopeHierarchy
from enforcer.policy.rules import Mode, Rule
from enforcer.proxy.messages.responses import Refusals
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.claims import SCOPE_CLAIMS, ScopeClaims, read_claims

NOW = 1_700_000_000.0
_RULE = TypeAdapter(Rule)

CONDITIONS: dict[str, Any] = {
    "scopes": ["s"],
    "any_scope": ["s"],
    "claims": {"tenant": "t"},
    "audience": ["a"],
    "issuer": ["i"],
    "client_ids": ["c"],
    "acr": ["gold"],
    "max_auth_age": "5m",
    "any_of": [{"scopes": ["s"]}, {"claims": {"tenant": "t"}}],
}
"""A value for each key of a rule that is a condition on the token."""
NO_CONDITIONS = {
    *("name", "path", "paths", "methods", "host"),  # which requests the rule matches
    *("public", "authenticated"),  # that there are no conditions
    "encoded",  # how the app reads paths
    *("mode", "cors_preflight"),  # whether the conditions apply
    *("authorization_server", "ask_in_order", "max_answer_age", "on_outage"),  # how the token is verified
    *("query", "headers", "addresses"),  # what the request itself must have
    "nobody",  # that no request is allowed
    "token_from",  # where the token is
    "upstream",  # where the request is forwarded to
}
"""The other keys of a rule. A new key must be in one of the two lists: `explain` and `lint` know each condition."""

REFUSALS = Refusals(ChallengeSettings(), ProofSettings())


def policy(
    *rules: dict[str, Any],
    mode: Mode = "enforce",
    hierarchy: ScopeHierarchy = NO_HIERARCHY,
    scope_claims: ScopeClaims = SCOPE_CLAIMS,
) -> Policy:
    """Return a policy; each rule has a line of its own, and its path as its name by default."""
    named_rules = ({"name": rule.get("path") or rule["paths"][0], "mode": mode, **rule} for rule in rules)
    places = ((_RULE.validate_python(rule), f"rules.yaml:{line}") for line, rule in enumerate(named_rules, 1))
    return Policy(places, mode, hierarchy, (), lambda rule, issuer: scope_claims)


def oracle(claims: dict[str, Any] | None, scopes: ScopeClaims = SCOPE_CLAIMS) -> EvidenceSource:
    """Return the verification result of a token with these claims; None: the request has no token.

    `scopes` are the claims that may hold its scopes.
    """
    token = None if claims is None else read_claims(claims, scopes)
    return lambda located: token_evidence(token, located)


def explained(
    rules: Policy,
    request: str,
    claims: dict[str, Any] | None = None,
    host: str = "",
    headers: tuple[tuple[str, str], ...] = (),
) -> Explanation:
    """Explain the decision for `METHOD target`."""
    method, target = request.split(" ")
    return explain(rules, PolicyRequest(method, target, host, headers=headers), oracle(claims), NOW, REFUSALS)
