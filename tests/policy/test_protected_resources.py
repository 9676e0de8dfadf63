"""Which protected resource a rule belongs to, and which requests are for metadata (RFC 9728)."""

from __future__ import annotations

import pytest

from enforcer.policy.matcher import Matcher
from enforcer.policy.protected_resources import candidates_of, metadata_patterns, resource_of
from enforcer.policy.rules import Rule
from enforcer.settings.resources import ProtectedResource

HOST = "https://api.example.org"
ROOT, MCP, DEEP = (ProtectedResource(resource=f"{HOST}{path}") for path in ("", "/mcp", "/mcp/admin"))
OTHER = ProtectedResource(resource="https://other.example.org/mcp")


def rule(*paths: str, host: str | None = None) -> Rule:
    return Rule(name="rule", paths=paths, host=host, authenticated=True)


@pytest.mark.parametrize(
    ("rule", "resource"),
    [
        (rule("/mcp"), MCP),
        (rule("/mcp/**"), MCP),
        (rule("/mcp/{tool}"), MCP),
        (rule("/mcp/admin/x"), DEEP),
        (rule("/mcp/administration"), MCP),
        (rule("/mcp/admin", "/mcp/x"), MCP),
        (rule("/other", "/mcp"), ROOT),
        (rule("/**"), ROOT),
        (rule("/mcp", host="api.example.org"), MCP),
        (rule("/mcp", host="API.example.org"), MCP),
        (rule("/mcp", host="*.example.org"), MCP),
        (rule("/mcp", host="{tenant}.example.org"), MCP),
        (rule("/mcp", host="elsewhere.example.org"), None),
        (rule("/mcp", host="*.elsewhere.org"), None),
    ],
)
def test_a_rule_belongs_to_the_resource_with_the_longest_path_around_it(
    rule: Rule, resource: ProtectedResource | None
) -> None:
    """And with the rule's host, if it has one."""
    assert resource_of([ROOT, MCP, DEEP], rule) is resource


def test_a_wider_rule_belongs_to_no_resource_below_it() -> None:
    """Its other paths are not the resource's."""
    for paths in (["/**"], ["/{x}"], ["/other/**"], ["/mcp", "/other"]):
        assert resource_of([MCP], rule(*paths)) is None
    assert resource_of([], rule("/mcp")) is None


def test_resources_that_differ_only_by_host_need_rules_with_a_host() -> None:
    """Otherwise neither is the rule's, and loading the configuration fails."""
    assert candidates_of([MCP, OTHER], rule("/mcp/x")) == [MCP, OTHER]
    assert resource_of([MCP, OTHER], rule("/mcp/x")) is None
    assert resource_of([MCP, OTHER], rule("/mcp/x", host="other.example.org")) is OTHER


def served(resources: list[ProtectedResource], path: str, host: str = "", *rules: Rule) -> ProtectedResource | None:
    matcher = Matcher(metadata_patterns(resources, rules))
    return matcher.find(path[1:].encode().split(b"/"), b"GET", host.encode())


WELL_KNOWN = "/.well-known/oauth-protected-resource"


def test_metadata_is_served_below_the_well_known_path() -> None:
    """With and without a slash at the end, and without the resource's path if its host has only this one."""
    for path in (f"{WELL_KNOWN}/mcp", f"{WELL_KNOWN}/mcp/", WELL_KNOWN, f"{WELL_KNOWN}/"):
        assert served([MCP], path, "whatever") is MCP
        assert served([MCP, DEEP], path) is (MCP if "mcp" in path else None)
    assert served([ROOT, MCP], WELL_KNOWN) is ROOT
    for path in ("/", "/mcp", f"{WELL_KNOWN}/mc", f"{WELL_KNOWN}/mcp/x", f"/mcp{WELL_KNOWN}"):
        assert served([MCP], path) is None


def test_the_host_decides_if_rules_or_resources_differ_by_host() -> None:
    """Then the same path may be another app's."""
    assert served([MCP, OTHER], WELL_KNOWN, "other.example.org:8443") is OTHER
    assert served([MCP, OTHER], WELL_KNOWN, "api.example.org") is MCP
    assert served([MCP, OTHER], WELL_KNOWN, "third.example.org") is None
    assert served([MCP], WELL_KNOWN, "third.example.org", rule("/", host="third.example.org")) is None


def test_metadata_that_the_app_serves_is_not_ours() -> None:
    """`serve: false` leaves the path to the rules."""
    assert served([ProtectedResource(resource=f"{HOST}/mcp", serve=False)], f"{WELL_KNOWN}/mcp") is None
