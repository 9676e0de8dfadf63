"""Findings about the rules that an active token could satisfy: by issuer, by audience, and by scopes. Pure.

Each condition is checked on its own, as `policy.decision.failure` checks it. Conditions on claims and on the request
need a request: `enforcer explain` has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from enforcer.analysis.evaluator import Policy, PolicyRule
from enforcer.config.model import Config
from enforcer.config.resolved import servers_for
from enforcer.doctor.diagnosis import Finding, right, warning, wrong
from enforcer.doctor.token.claims import listed
from enforcer.policy.request_view import RequestView
from enforcer.policy.requirement import Conjunction
from enforcer.server.verifiers import accepted_values
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.tokens.claims import ActiveToken, claim_value


@dataclass(frozen=True, slots=True)
class TokenRule:
    """A rule that accepts tokens of a server, and the issuers and audiences that it accepts; empty for any."""

    entry: PolicyRule
    issuers: frozenset[str]
    audience: frozenset[str]

    @property
    def name(self) -> str:
        """The name of the rule."""
        return self.entry.rule.name


def rules_for(config: Config, policy: Policy, server: AuthorizationServer) -> list[TokenRule]:
    """Return the rules that accept tokens of a server, once each; `policy` is the configuration's."""
    rules = {}
    for entry in policy.entries:
        rule, servers = entry.rule, servers_for(config, entry.rule)
        if rule.public or rule.nobody or server not in servers:
            continue
        issuers, audience = frozenset(rule.issuer), frozenset(rule.audience)
        if len(servers) > 1:
            # Conditions that a rule leaves to its servers are those of the server that issued the token.
            of_server = accepted_values(server, rule.issuer, rule.audience)
            issuers, audience = of_server[0] or issuers, of_server[1] or audience
        rules[entry.index] = TokenRule(entry, issuers, audience)
    return list(rules.values())


def required_scopes(rules: Sequence[TokenRule]) -> frozenset[str]:
    """Return the scopes that rules require, and those that include them; not those with a placeholder."""
    conjunctions = [each for rule in rules for each in _conjunctions(rule)]
    scopes = {scope for each in conjunctions for scope in (*each.scopes, *each.any_scope)}
    return frozenset(scopes).union(*(each.scope_hierarchy.including(s) for each in conjunctions for s in each.scopes))


def findings(rules: Sequence[TokenRule], token: ActiveToken) -> list[Finding]:
    """Return whether rules accept the token's issuer, audience and scopes, and the claims that they miss in it."""
    if not rules:
        advice = "name it in the authorization_server of a rule"
        return [warning("rules", "no rule accepts tokens of this server", advice)]
    return [*_issuer(rules, token), _audience(rules, token), _scopes(rules, token), *_absent_claims(rules, token)]


def _issuer(rules: Sequence[TokenRule], token: ActiveToken) -> Iterator[Finding]:
    required = [rule for rule in rules if rule.issuers]
    refusing = [rule for rule in required if token.issuer not in rule.issuers]
    if token.issuer is None and refusing:
        details = f"absent, and {_count(refusing, rules)} {_require(refusing, lambda rule: rule.issuers)}"
        yield _finding(refusing, rules)("iss", details, "have the server write iss, or remove issuer and set endpoints")
    elif token.issuer is not None:
        details = listed([token.issuer])
        if refusing:
            text = f"{details}, but {_count(refusing, rules)} {_require(refusing, lambda rule: rule.issuers)}"
            yield _finding(refusing, rules)("iss", text, "set issuer to exactly the iss of the server's tokens")
        else:
            yield right("iss", f"{details}{', as rules require' if required else '; no rule requires an issuer'}")


def _audience(rules: Sequence[TokenRule], token: ActiveToken) -> Finding:
    required = [rule for rule in rules if rule.audience]
    refusing = [rule for rule in required if rule.audience.isdisjoint(token.audience)]
    details = listed(sorted(token.audience)) or "absent"
    if refusing:
        text = f"{details}, but {_count(refusing, rules)} {_require(refusing, lambda rule: rule.audience)}"
        advice = "set audience to the app's name at the server, or get a token for this app"
        if not token.audience:
            advice = "have the server write aud for this app, or remove audience: then tokens for other apps pass too"
        return _finding(refusing, rules)("aud", text, advice)
    if required or not token.audience:
        return right("aud", f"{details}{', as rules require' if required else '; no rule requires an audience'}")
    text = f"{details}; no rule requires an audience, so tokens for other apps are accepted too"
    return warning("aud", text, "set audience to the app's name among these")


def _scopes(rules: Sequence[TokenRule], token: ActiveToken) -> Finding:
    met = [rule for rule in rules if _meets_scopes(rule.entry, token)]
    if met:
        names = listed([rule.name for rule in met])
        return right("rules", f"its scopes meet {len(met)} of {_rules(len(rules))}: {names}")
    missing = sorted(required_scopes(rules) - token.scopes)
    advice = f"request a token with scopes that rules require: {listed(missing)}" if missing else "see enforcer explain"
    return wrong("rules", f"its scopes meet none of {_rules(len(rules))}", advice)


def _meets_scopes(entry: PolicyRule, token: ActiveToken) -> bool:
    request = RequestView([b""] * entry.path.count("/"))

    def meets(conditions: Conjunction) -> bool:
        # A scope with a placeholder depends on the request.
        return not conditions.scope_texts and conditions.meets_scopes(token, request)

    alternatives = entry.requirement.alternatives
    return meets(entry.requirement) and (not alternatives or any(map(meets, alternatives)))


def _absent_claims(rules: Sequence[TokenRule], token: ActiveToken) -> Iterator[Finding]:
    """Yield the claims that rules compare with a value and that the token does not have."""
    names = {
        name
        for rule in rules
        for conditions in (rule.entry.rule, *rule.entry.rule.alternatives)
        for name, value in conditions.claims.items()
        if not (isinstance(value, Mapping) and value.get("present") is False)
    }
    # A JSON pointer or a placeholder may name a key that depends on the request.
    plain = sorted(name for name in names if not name.startswith("/") and "{" not in name)
    absent = [name for name in plain if claim_value(token.claims, name, tuple(name.split("."))) is None]
    if absent:
        advice = "have the server add them, or correct the names in the rules"
        yield warning("claims", f"rules have conditions on {listed(absent)}, which the token does not have", advice)


def _conjunctions(rule: TokenRule) -> Iterator[Conjunction]:
    yield rule.entry.requirement
    yield from rule.entry.requirement.alternatives


def _finding(refusing: Sequence[TokenRule], rules: Sequence[TokenRule]) -> Callable[[str, str, str], Finding]:
    return wrong if len(refusing) == len(rules) else warning


def _count(refusing: Sequence[TokenRule], rules: Sequence[TokenRule]) -> str:
    return "every rule requires" if len(refusing) == len(rules) else f"{len(refusing)} of {_rules(len(rules))} require"


def _require(refusing: Sequence[TokenRule], values: Callable[[TokenRule], frozenset[str]]) -> str:
    return listed(sorted({value for rule in refusing for value in values(rule)}))


def _rules(number: int) -> str:
    return "1 rule" if number == 1 else f"{number} rules"
