"""The rules as they are judged: each with what the rest of the configuration says for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from enforcer.config.model import Config
from enforcer.policy.rules import Rule


def effective_rules(config: Config) -> Iterator[Rule]:
    """Give the rules in their order; one that names no issuer needs the one of its authorization server, if set."""
    issuers: dict[str | None, str | None] = {}
    for server in config.authorization_servers:
        for name in (server.name, None):
            issuers.setdefault(name, server.issuer)
    for rule in config.rules:
        issuer = issuers[rule.authorization_server]
        yield rule if issuer is None or rule.issuer or rule.public else replace(rule, issuer=(issuer,))
