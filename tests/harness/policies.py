"""Policies for tests: rules as a configuration writes them, and answers as the enforcer gives them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from enforcer.analysis.evaluator import Policy, Request, shown
from enforcer.analysis.explain import Explanation, Oracle, explain
from enforcer.policy.rules import Mode, Rule
from enforcer.proxy.refusals import Refusals
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.introspection.response import from_claims

NOW = 1_700_000_000.0
_RULE = TypeAdapter(Rule)

REFUSALS = Refusals(ChallengeSettings(), ProofSettings())


def policy(*rules: dict[str, Any], mode: Mode = "enforce") -> Policy:
    """Make a policy of rules; each stands in a line of its own, and is named by its path unless it has a name."""
    named = ({"name": rule["path"], "mode": mode, **rule} for rule in rules)
    made = ((_RULE.validate_python(rule), f"rules.yaml:{line}") for line, rule in enumerate(named, 1))
    return Policy(made, mode)


def worth(claims: dict[str, Any] | None) -> Oracle:
    """Tell that a request has a token with these claims; None for no token."""
    answer = None if claims is None else from_claims(claims)
    return lambda located: shown(answer, located.target.query)


def explained(found_in: Policy, request: str, claims: dict[str, Any] | None = None, host: str = "") -> Explanation:
    """Explain `METHOD target`."""
    method, target = request.split(" ")
    return explain(found_in, Request(method, target, host), worth(claims), NOW, REFUSALS)
