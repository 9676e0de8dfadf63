"""Requirements: the conditions of rules, compiled for the request path."""

from __future__ import annotations

from collections.abc import Sequence

from enforcer.policy.matcher import RequestPattern
from enforcer.policy.rules import Path, Rule, compile_claims
from enforcer.tokens.claims import ActiveToken


class Requirement:
    """The conditions of one rule. `narrow` is set if there are conditions other than scopes."""

    __slots__ = (
        "any_scope", "audience", "claims", "client_ids", "issuer", "narrow", "preflight", "public", "rule", "scopes",
    )  # fmt: skip

    def __init__(self, rule: Rule, path: Path) -> None:
        self.rule = rule
        self.public = rule.public
        self.preflight = rule.cors_preflight == "allow"
        self.scopes = frozenset(rule.scopes)
        self.any_scope = frozenset(rule.any_scope)
        self.audience = frozenset(rule.audience)
        self.issuer = frozenset(rule.issuer)
        self.client_ids = frozenset(rule.client_ids)
        self.claims = compile_claims(rule, path)
        self.narrow = bool(self.any_scope or self.audience or self.issuer or self.client_ids or self.claims)

    def meets_claims(self, token: ActiveToken, segments: Sequence[bytes]) -> bool:
        """Return whether the token meets all conditions on claims."""
        return all(claim.holds(token.claims, segments) for claim in self.claims)


def compile_rule(rule: Rule) -> list[tuple[RequestPattern, Requirement]]:
    """Return what a rule matches and what it requires there, for each of its paths."""
    paths = [Path.parse(template) for template in rule.templates]
    return [(RequestPattern(path, rule.methods, rule.host), Requirement(rule, path)) for path in paths]
