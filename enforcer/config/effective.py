"""The rules as they are judged, each with what the rest of the configuration says for it, and where they lead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from enforcer.config.model import Config, Upstream
from enforcer.policy.rules import Rule


def upstreams(config: Config) -> dict[str | None, Upstream]:
    """Return the apps by name; None names the one of rules that name none, where there is one."""
    found: dict[str | None, Upstream] = {} if config.upstream is None else {None: config.upstream}
    found.update(config.upstreams)
    return found


def effective_rules(config: Config) -> Iterator[Rule]:
    """Give the rules in their order, each with its mode; one that names no issuer needs that of its authorization
    server, if set."""
    issuers: dict[str | None, str | None] = {}
    for server in config.authorization_servers:
        for name in (server.name, None):
            issuers.setdefault(name, server.issuer)
    for rule in config.rules:
        issuer = issuers[rule.authorization_server]
        changes: dict[str, Any] = {}
        if issuer is not None and not rule.issuer and not rule.public:
            changes["issuer"] = (issuer,)
        if rule.mode is None and config.mode != "enforce":
            changes["mode"] = config.mode
        yield replace(rule, **changes) if changes else rule
