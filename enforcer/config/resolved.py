"""What the rest of the configuration says for a rule, where it leads, and each authorization server for the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from enforcer.config.model import Config
from enforcer.policy.rules import Rule
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.settings.servers import Upstream
from enforcer.tokens.issuers import IssuerScope


def upstreams(config: Config) -> dict[str | None, Upstream]:
    """Return the apps by name; None names the one of rules that name none, where there is one."""
    found: dict[str | None, Upstream] = {} if config.upstream is None else {None: config.upstream}
    found.update(config.upstreams)
    return found


def resolved_rules(config: Config) -> Iterator[Rule]:
    """Give the rules in their order, as they are judged: each with what the configuration says for all.

    One that names no issuer, or no audience, needs those of its authorization servers, where all of these have some.
    """
    first = config.authorization_servers[0]
    plain = first.issuer is None and not first.audience
    for rule in config.rules:
        changes: dict[str, Any] = {}
        if rule.mode is None and config.mode != "enforce":
            changes["mode"] = config.mode
        if not rule.public and (rule.authorization_server is not None or not plain):
            servers = servers_for(config, rule)
            issuers = [() if server.issuer is None else (server.issuer,) for server in servers]
            if not rule.issuer and all(issuers):
                changes["issuer"] = _any_of(issuers)
            if not rule.audience and all(server.audience for server in servers):
                changes["audience"] = _any_of([server.audience for server in servers])
        if rule.cors_preflight is None and config.cors_preflight != "judge":
            changes["cors_preflight"] = config.cors_preflight
        yield replace(rule, **changes) if changes else rule


def servers_for(config: Config, rule: Rule) -> Sequence[AuthorizationServer]:
    """Return the authorization servers whose tokens a rule takes, in the rule's order."""
    by_name = {server.name: server for server in config.authorization_servers}
    named = [by_name[name] for name in rule.authorization_servers]
    return named or config.authorization_servers[:1]


def issuer_scopes(config: Config) -> Mapping[str, IssuerScope]:
    """Return which tokens each authorization server may be shown, by its name."""
    issuers = {server.name: server.issuer for server in config.authorization_servers}
    return {
        name: IssuerScope(own, frozenset(issuer for issuer in issuers.values() if issuer not in (None, own)))
        for name, own in issuers.items()
    }


def _any_of(needed: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for several in needed for one in several))
