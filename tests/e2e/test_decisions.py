"""The running enforcer decides as `enforcer explain` predicts."""

from __future__ import annotations

from itertools import product
from typing import Any

from harness.configs import config
from harness.policies import explained, policy
from harness.processes import enforcer
from harness.servers import echo_server, introspection_server, parse_fields, send_raw

RULES: list[dict[str, Any]] = [
    {"name": "all", "path": "/**", "scopes": ["read"]},
    {"name": "open", "path": "/open/**", "public": True},
    {"name": "read", "path": "/api/{id}", "methods": ["GET"], "any_scope": ["read", "write"]},
    {"name": "write", "path": "/api/{id}", "methods": ["POST"], "scopes": ["read", "write"]},
    {"name": "here", "path": "/api/{id}", "methods": ["POST"], "host": "*.example.org", "public": True},
    {"name": "mine", "path": "/users/{user}/**", "claims": {"sub": "{user}", "roles": ["admin", "owner"]}},
    {"name": "narrow", "path": "/narrow", "audience": ["shop"], "issuer": ["https://as"], "client_ids": ["web"]},
    {"name": "anybody", "path": "/api/me", "authenticated": True},
    {"name": "inner", "path": "/open/inner", "host": "a.example.org", "scopes": ["write"]},
    {"name": "report", "path": "/watched", "scopes": ["write"], "mode": "report"},
]

TOKENS: dict[str, dict[str, object]] = {
    "reader": {"scope": "read", "sub": "alice", "aud": "shop", "iss": "https://as", "client_id": "web"},
    "writer": {"scope": ["read", "write"], "sub": "bob", "roles": ["owner"], "aud": ["other"]},
    "owner": {"sub": "alice", "roles": "owner", "iss": "https://other", "aud": ["shop"], "client_id": "other"},
    "ended": {"scope": "read write", "exp": 1},
    "early": {"scope": "read write", "nbf": 4102444800},
}

TARGETS = [
    ("GET", "/"),
    ("POST", "/open/x"),
    ("HEAD", "/open/x?access_token=1"),
    ("GET", "/api/7"),
    ("GET", "/api/7?access_token=1"),
    ("POST", "/api/7"),
    ("PUT", "/api/7"),
    ("DELETE", "/api/me"),
    ("GET", "/api/me/"),
    ("GET", "/users/alice/x"),
    ("GET", "/users/%61lice"),
    ("PATCH", "/users/bob/"),
    ("GET", "/narrow"),
    ("GET", "/open/inner"),
    ("GET", "/watched"),
    ("GET", "/watched?access_token=1"),
    ("GET", "/open/../api/7"),
    ("GET", "/open/%2e%2e/api"),
    ("GET", "/open//api"),
    ("GET", "/caf%C3%A9"),
    ("CONNECT", "/open/x"),
    ("FETCH", "/open/x"),
]


def test_the_running_enforcer_responds_as_explain_predicts() -> None:
    """Status and challenge, for each request, token and host."""
    rules = policy(*RULES)
    cases = list(product(TARGETS, [None, *TOKENS], ["localhost", "a.example.org"]))
    assert len(cases) > 200
    with introspection_server(TOKENS) as auth, echo_server() as app:
        settings = config(f"http://127.0.0.1:{app.port}", auth.port, rules=RULES)
        with enforcer(settings) as process:
            for (method, target), token, host in cases:
                credentials = "" if token is None else f"Authorization: Bearer {token}\r\n"
                head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{credentials}Connection: close\r\n\r\n"
                response_head = send_raw(process.port, head.encode()).partition(b"\r\n\r\n")[0]
                challenges = [
                    value.decode() for name, value in parse_fields(response_head) if name == b"WWW-Authenticate"
                ]
                claims = None if token is None else TOKENS[token]
                reply = explained(rules, f"{method} {target}", claims, host).judgement.reply
                expected = (200, []) if reply is None else (reply.status, list(reply.challenges))
                actual = (int(response_head.split(b" ")[1]), challenges)
                assert (method, target, token, host, *actual) == (method, target, token, host, *expected)
