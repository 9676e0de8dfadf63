"""What is no mistake in a configuration and may yet not be meant, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.lint import Level, lint
from enforcer.config import authorization_server
from enforcer.config.authorization_server import Way
from enforcer.config.document import show
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config
from enforcer.config.resolved import servers_for
from enforcer.errors import Problem
from enforcer.settings.addresses import parse_url
from enforcer.tokens.introspection.metadata import EndpointName


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """One of them; `code` names its kind for machines."""

    level: Level
    code: str
    problem: Problem


def find_warnings(config: Config, document: MergedDocument, policy: Policy) -> list[ConfigWarning]:
    """Look at a configuration whose rules, in their order, are the policy's; return what there is to tell, by line."""
    kinds = (_plain_text, _any_audience, _report_only, _unused)
    found = [*(one for kind in kinds for one in kind(config, document)), *_of_rules(document, policy)]
    return sorted(found, key=lambda one: document.order(one.problem))


def _plain_text(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    for at, server in enumerate(config.authorization_servers):
        used = authorization_server.endpoints(server)
        crossing: list[tuple[Way, str]] = [(_WAYS[name], url) for name, url in used.items() if url is not None]
        if server.issuer is not None and None in used.values():
            crossing.append((("issuer",), server.issuer))
        for way, url in crossing:
            location = parse_url(url)
            if not location.secure and not is_loopback(location.host):
                message = f"{_CROSSING[way[-1]]} as plain text; use https://"
                problem = document.problem(("authorization_servers", at, *way), message)
                yield ConfigWarning(Level.WARNING, "plain_text", problem)


_WAYS: Final[Mapping[EndpointName, Way]] = {
    "introspection_endpoint": ("introspection_endpoint",),
    "jwks_uri": ("jwks_uri",),
    "token_endpoint": ("own_token", "token_endpoint"),
}
_CROSSING: Final[Mapping[str | int, str]] = {
    "introspection_endpoint": "tokens and the client's credentials cross the network",
    "jwks_uri": "the keys that tokens are verified by cross the network",
    "token_endpoint": "the client's credentials and the token that it gets cross the network",
    "issuer": "the metadata that says where tokens and credentials go crosses the network",
}


def _any_audience(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Find the servers of whose tokens those for another app pass."""
    rules = [rule for rule in config.rules if not rule.public and not rule.audience]
    unasked = {server.name for rule in rules for server in servers_for(config, rule) if not server.audience}
    for at, server in enumerate(config.authorization_servers):
        if server.name in unasked:
            message = "no audience is asked for: tokens that it issued for other apps pass too; set audience"
            yield ConfigWarning(Level.WARNING, "any_audience", document.problem(("authorization_servers", at), message))


def _report_only(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Tell where nothing is refused: at the configuration's mode, or at each rule's own."""
    if config.mode == "report":
        enforced = sum(rule.mode == "enforce" for rule in config.rules)
        but = f" but by the {enforced} of {len(config.rules)} rules with mode: enforce" if enforced else ""
        message = f"nothing is refused{but}: what would be is forwarded, and counted as would_deny"
        yield ConfigWarning(Level.WARNING, "report_only", document.problem(("mode",), message))
    if config.rule_defaults.mode == "report":
        message = "rules that do not say otherwise refuse nothing: what they would is forwarded, as would_deny"
        yield ConfigWarning(Level.WARNING, "report_only", document.problem(("rule_defaults", "mode"), message))
    for at, rule in enumerate(config.rules):
        if document.own(at).get("mode") == "report":
            message = f"{show(rule.name)} refuses nothing: what it would is forwarded, and counted as would_deny"
            yield ConfigWarning(Level.WARNING, "report_only", document.problem(("rules", at, "mode"), message))


def _unused(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Tell of what rules can name, and none does."""
    named = {rule.upstream for rule in config.rules}
    if config.upstream is not None and None not in named and config.mode == "enforce":
        yield ConfigWarning(Level.WARNING, "unused", document.problem(("upstream",), "every rule names another"))
    for name in config.upstreams:
        if name not in named:
            yield ConfigWarning(
                Level.WARNING, "unused", document.problem(("upstreams", name), f"no rule names {show(name)}")
            )
    for name in config.scope_sets:
        if name not in document.used_sets:
            message = f"no rule has ${name} among its scopes"
            yield ConfigWarning(Level.WARNING, "unused", document.problem(("scope_sets", name), message))
    servers = {name for rule in config.rules for name in rule.authorization_servers}
    for at, server in enumerate(config.authorization_servers[1:], 1):
        if server.name not in servers:
            message = f"no rule names {show(server.name)}, and only the first one is asked where none does"
            yield ConfigWarning(Level.WARNING, "unused", document.problem(("authorization_servers", at), message))


def _of_rules(document: MergedDocument, policy: Policy) -> Iterator[ConfigWarning]:
    for one in lint(policy):
        path = ("rules", one.rule)
        if one.key is not None and one.key in document.own(one.rule):
            problem = document.problem((*path, one.key), one.message)
        else:
            problem = document.problem(path, one.message)
        yield ConfigWarning(one.level, one.code, problem)


def is_loopback(host: str) -> bool:
    """Tell whether a host is the machine itself: a loopback address, or localhost."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
