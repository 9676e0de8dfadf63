"""Rules, upstreams and authorization servers with the configuration's defaults for all rules applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from enforcer.config.model import Config
from enforcer.policy.conditions import first_key
from enforcer.policy.protected_resources import resource_of
from enforcer.policy.rules import Rule
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.settings.connections.servers import Upstream
from enforcer.tokens.claims import ScopeClaims
from enforcer.tokens.issuers import IssuerScope


def upstreams(config: Config) -> dict[str | None, Upstream]:
    """Return the upstreams by name; None is the name of the default `upstream`, if there is one."""
    by_name: dict[str | None, Upstream] = {} if config.upstream is None else {None: config.upstream}
    by_name.update(config.upstreams)
    return by_name


def resolved_rules(config: Config) -> Iterator[Rule]:
    """Yield the rules in order, each with the configuration's values for the keys that it does not set.

    A rule without `issuer` or `audience` requires those of its authorization servers, if all of these have one. If none
    has an `audience`, it requires that of its resource. A rule for everybody or nobody has no such conditions.
    """
    first = config.authorization_servers[0]
    unrestricted = first.issuer is None and not first.audience
    for rule in config.rules:
        changes: dict[str, Any] = {}
        if rule.mode is None and config.mode != "enforce":
            changes["mode"] = config.mode
        restricted = rule.authorization_server is not None or not unrestricted
        if restricted and not (rule.public or rule.nobody):
            servers = servers_for(config, rule)
            issuers = [() if server.issuer is None else (server.issuer,) for server in servers]
            if not rule.issuer and all(issuers):
                changes["issuer"] = _union(issuers)
            if not rule.audience and all(server.audience for server in servers):
                changes["audience"] = _union([server.audience for server in servers])
        if config.resources and not rule.public and not rule.nobody and not rule.audience:
            resource = resource_of(config.resources, rule)
            if resource is not None and not any(server.audience for server in servers_for(config, rule)):
                changes["audience"] = resource.audience
        if rule.cors_preflight is None and config.cors_preflight != "judge":
            changes["cors_preflight"] = config.cors_preflight
        yield replace(rule, **changes) if changes else rule


def cookie_origins(config: Config) -> Sequence[str]:
    """Return the origins whose pages may use a token in a cookie, besides the app's own."""
    return config.cors.origins if config.cors.credentials else ()


def servers_for(config: Config, rule: Rule) -> Sequence[AuthorizationServer]:
    """Return the authorization servers whose tokens a rule accepts, in the rule's order."""
    by_name = {server.name: server for server in config.authorization_servers}
    named = [by_name[name] for name in rule.authorization_servers]
    return named or config.authorization_servers[:1]


def scope_claims(config: Config, rule: Rule | None, issuer: str | None) -> ScopeClaims:
    """Return the claims that may hold the scopes of a token: those of the rule's server that has the token's issuer.

    If none has it, those of the rule's first server; without a rule, those of the configuration's first.
    """
    servers = config.authorization_servers[:1] if rule is None else servers_for(config, rule)
    named = [server for server in servers if server.issuer is not None and server.issuer == issuer]
    return ScopeClaims((*named, *servers)[0].scope_claims)


def issuer_scopes(config: Config) -> Mapping[str, IssuerScope]:
    """Return by authorization server's name which tokens may be sent to it."""
    issuers = {server.name: server.issuer for server in config.authorization_servers}
    return {
        name: IssuerScope(own, frozenset(issuer for issuer in issuers.values() if issuer not in (None, own)))
        for name, own in issuers.items()
    }


def claims_read(config: Config) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the claims that the rules have conditions on, and the keys of claims that they read into.

    A dot in a name may separate nested claims; in a key it does not.
    """
    conditions = [condition for rule in config.rules for condition in (rule, *rule.alternatives)]
    written = {name for condition in conditions for name in condition.claims}
    keys = {name: first_key(name) for name in written}
    names = {name for name in written if keys[name] is None}
    names |= {"acr" for condition in conditions if condition.acr}
    names |= {"auth_time" for condition in conditions if condition.max_auth_age is not None}
    return frozenset(names), frozenset(key for key in keys.values() if key is not None)


def _union(lists: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for values in lists for value in values))
