"""Configurations for the enforcer under test: a base, and the sections that a test changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from enforcer.settings.authorization_server import AuthorizationServer

TOKEN = "good-token"
TOKENS: Mapping[str, Mapping[str, object]] = {
    TOKEN: {"scope": "read", "sub": "alice", "client_id": "walker"},
    "other-token": {"scope": "nothing"},
}
"""The active tokens and their claims: one has the scope that `RULES` require, the other has not."""

RULES: list[dict[str, Any]] = [
    {"name": "public", "path": "/public/**", "public": True},
    {"name": "all else", "path": "/**", "scopes": ["read"]},
]


def authorization_server(port: int, **changes: Any) -> dict[str, Any]:
    """Return the settings of an authorization server on a port of loopback."""
    return {
        "introspection_endpoint": f"http://127.0.0.1:{port}/introspect",
        "client_id": "enforcer",
        "client_secret": {"env": "ENFORCER_CLIENT_SECRET"},
        **changes,
    }


def config(upstream: str, authorization: int, /, **changes: Any) -> str:
    """Return a configuration for an upstream URL and an authorization server's port, as JSON, which is also YAML.

    Each of `changes` is a section: mappings are merged into the base, other values replace it.
    """
    settings: dict[str, Any] = {
        "listener": {"address": "127.0.0.1:0"},
        "admin": {"address": "127.0.0.1:0"},
        "upstream": {"url": upstream},
        "authorization_servers": [authorization_server(authorization)],
        "rules": RULES,
        "timeouts": {"shutdown_delay": "0s"},
    }
    for section, change in changes.items():
        base = settings.get(section)
        settings[section] = {**base, **change} if isinstance(base, dict) and change is not None else change
    return json.dumps(settings)


def secret_of(server: AuthorizationServer) -> str:
    """Return the client secret of an authorization server's settings."""
    assert server.client_secret is not None
    return server.client_secret.reveal()
