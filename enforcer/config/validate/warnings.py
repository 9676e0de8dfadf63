"""Configuration warnings: valid settings that are probably unintended, each with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from typing import Final

from enforcer.analysis.evaluator import Policy
from enforcer.analysis.lint import Level, lint
from enforcer.config.authorization_server import endpoints
from enforcer.config.documents.document import Step, show
from enforcer.config.merged_document import MergedDocument
from enforcer.config.model import Config
from enforcer.config.resolved import cookie_origins, resolved_rules, scope_claims, servers_for
from enforcer.config.schema import write_size
from enforcer.errors import Problem
from enforcer.policy.conditions import parse_networks
from enforcer.policy.hierarchy import ScopeHierarchy
from enforcer.policy.protected_resources import resource_of
from enforcer.settings.connections.addresses import EVERYWHERE, Location, parse_address, parse_server, parse_url
from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.introspection.metadata import EndpointName


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """One warning; `code` is its kind, for machines."""

    level: Level
    code: str
    problem: Problem


def placed_policy(config: Config, document: MergedDocument, *, enforced: bool = False) -> Policy:
    """Return the policy of a configuration, with the place of each rule in its file.

    `enforced`: treat every rule in mode report as if it were enforced.
    """
    rules = (
        (rule, ":".join(map(str, document.where(("rules", index))[:2])))
        for index, rule in enumerate(resolved_rules(config))
    )
    if enforced:
        rules = ((replace(rule, mode="enforce"), where) for rule, where in rules)
    mode = "enforce" if enforced else config.mode
    hierarchy = ScopeHierarchy(config.scope_implies)
    heads = config.forwarding, config.limits
    claims = partial(scope_claims, config)
    return Policy(rules, mode, hierarchy, config.resources, claims, cookie_origins(config), *heads)


def find_warnings(config: Config, document: MergedDocument, policy: Policy) -> list[ConfigWarning]:
    """Return the warnings of a configuration in order of line; `policy` has the configuration's rules in order."""
    checks = (
        _plain_text,
        _any_audience,
        _no_origins,
        _report_only,
        _unused,
        _own_address,
        _token_limit,
        _unknown_issuer,
        _client_addresses,
        _token_places,
    )
    warnings = [warning for check in checks for warning in check(config, document)]
    return sorted([*warnings, *_of_rules(document, policy)], key=lambda warning: document.order(warning.problem))


def _plain_text(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    for index, server in enumerate(config.authorization_servers):
        used = endpoints(server)
        urls = [(_PATHS[name], url) for name, url in used.items() if url is not None]
        if server.issuer is not None and None in used.values():
            urls.append((("issuer",), server.issuer))
        for path, url in urls:
            location = parse_url(url)
            if not location.secure and not is_loopback(location.host):
                message = f"{_SENT[path[-1]]} in plain text; use https://"
                problem = document.problem(("authorization_servers", index, *path), message)
                yield ConfigWarning(Level.WARNING, "plain_text", problem)


_PATHS: Final[Mapping[EndpointName, tuple[Step, ...]]] = {
    "introspection_endpoint": ("introspection_endpoint",),
    "jwks_uri": ("jwks_uri",),
    "token_endpoint": ("own_token", "token_endpoint"),
}
_SENT: Final[Mapping[str | int, str]] = {
    "introspection_endpoint": "tokens and the client's credentials cross the network",
    "jwks_uri": "the keys that verify tokens cross the network",
    "token_endpoint": "the client's credentials and its access token cross the network",
    "issuer": "the metadata that says where to send tokens and credentials crosses the network",
}


def _any_audience(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Find the servers of which a rule accepts tokens for any audience."""
    rules = [rule for rule in config.rules if not rule.public and not rule.audience]
    rules = [rule for rule in rules if resource_of(config.resources, rule) is None]
    unrestricted = {server.name for rule in rules for server in servers_for(config, rule) if not server.audience}
    for index, server in enumerate(config.authorization_servers):
        if server.name in unrestricted:
            message = "no audience is required: tokens that it issued for other apps are accepted too; set audience"
            problem = document.problem(("authorization_servers", index), message)
            yield ConfigWarning(Level.WARNING, "any_audience", problem)


def _no_origins(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Find a configuration that expects DPoP proofs, but does not say for which URLs."""
    rules = [index for index, rule in enumerate(config.rules) if any(name.startswith("cnf") for name in rule.claims)]
    if config.dpop.origins or (config.dpop == ProofSettings() and not rules):
        return
    path: tuple[Step, ...] = ("dpop",) if config.dpop != ProofSettings() else ("rules", rules[0])
    message = "DPoP proofs are accepted for localhost only; set dpop.origins to where clients reach the enforcer"
    yield ConfigWarning(Level.WARNING, "no_origins", document.problem(path, message))


def _report_only(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Find report mode, in the configuration, its rule defaults or a rule."""

    def warning(path: tuple[Step, ...], message: str) -> ConfigWarning:
        return ConfigWarning(Level.WARNING, "report_only", document.problem(path, message))

    if config.mode == "report":
        enforced = sum(rule.mode == "enforce" for rule in config.rules)
        but = f", except by the {enforced} of {len(config.rules)} rules with mode: enforce" if enforced else ""
        yield warning(("mode",), f"no request is refused{but}: denied requests are forwarded, counted as would_deny")
    message = "rules without a mode refuse no request: denied requests are forwarded, counted as would_deny"
    yield from (
        warning(path, message)
        for path, mode in document.written("mode")
        if path[0] == "rule_defaults" and mode == "report"
    )
    for index, rule in enumerate(config.rules):
        if document.own(index).get("mode") == "report":
            message = f"{show(rule.name)} refuses no request: denied requests are forwarded, counted as would_deny"
            yield warning(("rules", index, "mode"), message)


def _own_address(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Find upstreams that are the enforcer itself: a request would come back until its head is too large."""
    named: list[tuple[tuple[Step, ...], str]] = [
        (("upstreams", name, "url"), upstream.url) for name, upstream in config.upstreams.items()
    ]
    if config.upstream is not None:
        named.append((("upstream", "url"), config.upstream.url))
    for path, url in named:
        for setting, address in own_settings(config, parse_server(url)).items():
            message = f"is the enforcer's own {setting}, {address}; name the app's address"
            yield ConfigWarning(Level.WARNING, "own_address", document.problem(path, message))


def own_settings(config: Config, location: Location, *, this_machine: bool = False) -> dict[str, str]:
    """Return the settings whose address is that of an upstream, with their value: it is the enforcer itself.

    `this_machine`: the upstream's host is known to be an address of this machine.
    """
    settings = {"listener.address": config.listener.address, "admin.address": config.admin.address}
    settings.update({f"decision.{index}.address": door.address for index, door in enumerate(config.decision)})
    return {name: value for name, value in settings.items() if _is_own(value, location, this_machine)}


def _is_own(address: str, location: Location, this_machine: bool) -> bool:
    hosts, port = parse_address(address)
    if location.unix is not None or port != location.port:
        return False
    if location.host in hosts or (location.host == "localhost" and any(map(is_loopback, hosts))):
        return True
    loopback = is_loopback(location.host)
    everywhere = any(host in EVERYWHERE for host in hosts)
    return (everywhere and (loopback or this_machine)) or (loopback and "localhost" in hosts)


def _token_limit(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    limits = config.limits
    if limits.token > limits.head:
        message = f"has no effect above limits.head, which is {write_size(limits.head)}"
        yield ConfigWarning(Level.WARNING, "token_limit", document.problem(("limits", "token"), message))


def _unknown_issuer(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Find issuers in rules that none of the rule's authorization servers is: no token can have them."""
    for index, rule in enumerate(config.rules):
        issuers = {server.issuer for server in servers_for(config, rule)}
        for position, issuer in enumerate(rule.issuer if None not in issuers else ()):
            if issuer not in issuers:
                message = f"no authorization server of the rule has the issuer {show(issuer)}: its tokens are denied"
                problem = document.problem(("rules", index, "issuer", position), message)
                yield ConfigWarning(Level.WARNING, "unknown_issuer", problem)


def _client_addresses(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Find conditions on client addresses that a proxy in front of the enforcer may meet or make impossible."""
    proxies = parse_networks(config.forwarding.trusted_proxies)
    for index, rule in enumerate(config.rules):
        options = [(("any_of", position, "addresses"), option) for position, option in enumerate(rule.any_of)]
        for path, conditions in ((("addresses",), rule), *options):
            if conditions.addresses and not proxies:
                message = "behind a proxy, every client has the proxy's address; set forwarding.trusted_proxies"
                problem = document.problem(("rules", index, *path), message)
                yield ConfigWarning(Level.WARNING, "no_trusted_proxies", problem)
            for position, network in enumerate(parse_networks(conditions.addresses)):
                proxy = next((proxy for proxy in proxies if proxy.overlaps(network)), None)
                if proxy is not None:
                    message = f"has addresses of the trusted proxy {proxy}, whose own requests are always refused"
                    problem = document.problem(("rules", index, *path, position), message)
                    yield ConfigWarning(Level.WARNING, "address_of_proxy", problem)


def _token_places(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Find tokens in URLs, and cookies that pages of other sites may use."""
    for path, places in document.written("token_from"):
        if not isinstance(places, dict):
            continue
        if places.get("query") is not None:
            message = "URLs stay in histories and in logs of other servers, with the token; prefer another place"
            yield ConfigWarning(Level.WARNING, "token_in_query", document.problem((*path, "query"), message))
        if places.get("cross_site") == "allow":
            message = "pages of other sites can make a browser send requests with the cookie; remove it"
            yield ConfigWarning(Level.WARNING, "cross_site", document.problem((*path, "cross_site"), message))


def _unused(config: Config, document: MergedDocument) -> Iterator[ConfigWarning]:
    """Find upstreams, scope sets and authorization servers that no rule uses."""

    def warning(path: tuple[Step, ...], message: str) -> ConfigWarning:
        return ConfigWarning(Level.WARNING, "unused", document.problem(path, message))

    upstreams = {rule.upstream for rule in config.rules}
    if config.upstream is not None and None not in upstreams and config.mode == "enforce":
        yield warning(("upstream",), "every rule names another")
    for name in config.upstreams:
        if name not in upstreams:
            yield warning(("upstreams", name), f"no rule names {show(name)}")
    for name in config.scope_sets:
        if name not in document.used_sets:
            yield warning(("scope_sets", name), f"no rule has ${name} among its scopes")
    servers = {name for rule in config.rules for name in rule.authorization_servers}
    for index, server in enumerate(config.authorization_servers[1:], 1):
        if server.name not in servers:
            message = f"no rule names {show(server.name)}, and rules that name none use only the first"
            yield warning(("authorization_servers", index), message)


def _of_rules(document: MergedDocument, policy: Policy) -> Iterator[ConfigWarning]:
    for finding in lint(policy):
        path: tuple[Step, ...] = ("rules", finding.rule)
        if finding.key is not None and finding.key in document.own(finding.rule):
            path = (*path, finding.key, *finding.below)
        yield ConfigWarning(finding.level, finding.code, document.problem(path, finding.message))


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: a loopback address, or localhost."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
