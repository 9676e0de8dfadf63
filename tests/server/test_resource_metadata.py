"""The metadata of a protected resource: each member from the configuration, and none without a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.configs import authorization_server, config

from enforcer.config.load import load
from enforcer.server.resource_metadata import metadata

RESOURCE = "https://api.example.org/mcp"
ISSUERS = [
    authorization_server(1, issuer="https://a.example.org"),
    authorization_server(1, name="b", issuer="https://b.example.org"),
    authorization_server(1, name="c", issuer="https://c.example.org"),
]
RULE: dict[str, Any] = {"name": "read", "path": "/mcp/**", "scopes": ["read"]}


def metadata_of(folder: Path, *rules: dict[str, Any], about: dict[str, Any] | None = None, **changes: Any) -> Any:
    path = folder / "config.yaml"
    settings = {"authorization_servers": ISSUERS, "resources": [{"resource": RESOURCE, **(about or {})}], **changes}
    path.write_text(config("http://127.0.0.1:1", 1, rules=[RULE, *rules], **settings))
    loaded = load(path, {"ENFORCER_CLIENT_SECRET": "secret"}).config
    return metadata(loaded, loaded.resources[0])


def test_a_member_without_a_value_is_absent(tmp_path: Path) -> None:
    """RFC 9728 §3.2: a list without elements must be left out."""
    assert metadata_of(tmp_path, about={"scopes": []}) == {
        "resource": RESOURCE,
        "authorization_servers": ["https://a.example.org"],
        "bearer_methods_supported": ["header"],
    }


def test_the_authorization_servers_are_those_of_its_rules(tmp_path: Path) -> None:
    """Each once; those of other rules are not named."""
    inside = {"name": "x", "path": "/mcp/x", "scopes": ["x"], "authorization_server": ["b", "default"]}
    outside = {"name": "y", "path": "/y", "scopes": ["y"], "authorization_server": "c"}
    document = metadata_of(tmp_path, inside, outside)
    assert document["authorization_servers"] == ["https://a.example.org", "https://b.example.org"]


@pytest.mark.parametrize(
    ("rules", "about", "scopes"),
    [
        ([], {}, ["read"]),
        ([{"name": "w", "path": "/mcp/w", "methods": ["POST"], "scopes": ["write"]}], {}, ["read"]),
        ([{"name": "g", "path": "/mcp/g", "methods": ["GET"], "any_scope": ["all", "some"]}], {}, ["read", "some"]),
        ([{"name": "p", "path": "/mcp/{p}", "scopes": ["item.{p}", "read"]}], {}, ["read"]),
        ([{"name": "o", "path": "/mcp/o", "public": True}], {}, ["read"]),
        ([], {"scopes": ["basic"]}, ["basic"]),
    ],
)
def test_the_scopes_are_the_fewest_that_reading_needs(
    tmp_path: Path, rules: list[dict[str, Any]], about: dict[str, Any], scopes: list[str]
) -> None:
    """Since clients request all of them; the setting has others."""
    document = metadata_of(tmp_path, *rules, about=about, scope_implies={"all": ["some"]})
    assert document["scopes_supported"] == scopes


@pytest.mark.parametrize(
    ("places", "methods"),
    [
        ({"bearer": True, "query": "access_token"}, ["header", "query"]),
        ({"query": "access_token"}, ["query"]),
        ({"query": "token"}, None),
        ({"cookie": "token"}, None),
        ({"basic": True}, None),
    ],
)
def test_the_methods_are_those_of_rfc_6750(tmp_path: Path, places: dict[str, Any], methods: list[str] | None) -> None:
    """No other place of a token has a registered name."""
    document = metadata_of(tmp_path, rule_defaults={"token_from": places})
    assert document.get("bearer_methods_supported") == methods


def test_bound_tokens_are_named_if_they_are_configured(tmp_path: Path) -> None:
    """DPoP by `dpop`, certificates by whether they are verified."""
    changes: dict[str, Any] = {
        "dpop": {"origins": ["https://api.example.org"], "algorithms": ["ES256"]},
        "forwarding": {"trusted_proxies": ["10.0.0.1"], "client_cert": True},
    }
    document = metadata_of(tmp_path, **changes)
    assert document["dpop_signing_alg_values_supported"] == ["ES256"]
    assert document["tls_client_certificate_bound_access_tokens"] is True
