"""The metadata of protected resources (RFC 9728), written at load from the configuration and its rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from enforcer.config.model import Config
from enforcer.config.resolved import servers_for
from enforcer.policy.hierarchy import ScopeHierarchy
from enforcer.policy.matcher import RequestPattern
from enforcer.policy.protected_resources import metadata_patterns, resource_of
from enforcer.policy.rules import Rule
from enforcer.proxy.messages.responses import OwnResponse, Refusal, least_scopes
from enforcer.settings.resources import ProtectedResource
from enforcer.settings.token_places import ONLY_BEARER

_LIFETIME: Final = 300
"""Seconds for which clients may cache a document: as long as a change of the configuration may go unnoticed."""
_METHODS: Final = "GET, HEAD, OPTIONS"
_READABLE: Final = ("Access-Control-Allow-Origin: *", f"Access-Control-Allow-Methods: {_METHODS}")
_OPTIONS: Final = OwnResponse(
    200,
    (*_READABLE, "Access-Control-Allow-Headers: *", f"Access-Control-Max-Age: {_LIFETIME}", f"Allow: {_METHODS}"),
    b"",
)
"""For browsers, which ask before they send a field such as MCP-Protocol-Version."""
_OTHER: Final = Refusal(405, "metadata can only be read", fields=(f"Allow: {_METHODS}",))


def documents(config: Config) -> Iterator[tuple[RequestPattern, Mapping[bytes | None, OwnResponse]]]:
    """Yield the requests for metadata, and the responses by method, None for all other methods."""
    for pattern, resource in metadata_patterns(config.resources, config.rules):
        yield pattern, _responses(json.dumps(metadata(config, resource)).encode())


def metadata(config: Config, resource: ProtectedResource) -> dict[str, Any]:
    """Return the members of a resource's metadata (RFC 9728 §2); those without a value are absent."""
    rules = [
        rule
        for rule in config.rules
        if not rule.public and not rule.nobody and resource_of(config.resources, rule) is resource
    ]
    servers = [server for rule in rules for server in servers_for(config, rule)] or config.authorization_servers[:1]
    tls = config.listener.tls
    bound_to_certificate = config.forwarding.client_cert or (tls is not None and tls.client_ca is not None)
    with_proof = config.dpop.challenge or config.dpop.origins
    members = {
        "resource": resource.resource,
        "authorization_servers": [*dict.fromkeys(server.issuer for server in servers if server.issuer is not None)],
        "scopes_supported": _scopes(config, resource, rules),
        "bearer_methods_supported": _bearer_methods(rules),
        "resource_name": resource.name,
        "resource_documentation": resource.documentation,
        "tls_client_certificate_bound_access_tokens": bound_to_certificate or None,
        "dpop_signing_alg_values_supported": list(config.dpop.algorithms) if with_proof else None,
    }
    return {name: value for name, value in members.items() if value not in (None, [])}


def _bearer_methods(rules: Sequence[Rule]) -> list[str]:
    """Return the ways of RFC 6750 §2 in which a rule reads tokens; the other places have no registered name."""
    places = [rule.token_from or ONLY_BEARER for rule in rules]
    in_header = any(place.bearer for place in places) or not places
    in_query = any(place.query == "access_token" for place in places)
    return [name for name, is_read in (("header", in_header), ("query", in_query)) if is_read]


def _scopes(config: Config, resource: ProtectedResource, rules: Sequence[Rule]) -> list[str]:
    if resource.scopes is not None:
        return list(resource.scopes)
    hierarchy = ScopeHierarchy(config.scope_implies)
    reading = [rule for rule in rules if not rule.methods or "GET" in rule.methods] or rules
    return [*dict.fromkeys(scope for rule in reading for scope in least_scopes(rule, hierarchy))]


def _responses(document: bytes) -> Mapping[bytes | None, OwnResponse]:
    fields = ("Content-Type: application/json", f"Cache-Control: max-age={_LIFETIME}", *_READABLE)
    response = OwnResponse(200, fields, document)
    return {b"GET": response, b"HEAD": response, b"OPTIONS": _OPTIONS, None: _OTHER}
