"""Configurations for the enforcer under test: what every one needs, and what a test changes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TOKEN = "good-token"
TOKENS: Mapping[str, Mapping[str, object]] = {
    TOKEN: {"scope": "read", "sub": "alice", "client_id": "walker"},
    "other-token": {"scope": "nothing"},
}
"""What the authorization server of the tests knows: one token that may do everything, and one that may do nothing."""

RULES = [
    {"name": "public", "path": "/public/**", "public": True},
    {"name": "all else", "path": "/**", "scopes": ["read"]},
]


def authorization_server(port: int, **changes: Any) -> dict[str, Any]:
    """Write the settings of an authorization server on a port."""
    return {
        "introspection_endpoint": f"http://127.0.0.1:{port}/introspect",
        "client_id": "enforcer",
        "client_secret": {"env": "ENFORCER_CLIENT_SECRET"},
        **changes,
    }


def config(upstream: str, authorization: int, /, **changes: Any) -> str:
    """Write a configuration: the upstream's URL, the authorization server's port, and sections set or added to.

    It is JSON, which YAML reads too.
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
        before = settings.get(section)
        settings[section] = {**before, **change} if isinstance(before, dict) else change
    return json.dumps(settings)
