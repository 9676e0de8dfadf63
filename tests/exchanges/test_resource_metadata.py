"""The metadata of a protected resource (RFC 9728): how a client without a token finds where to get one."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from harness import plain_http
from harness.configs import config
from harness.issuers import Issuer, running_issuer
from harness.ports import closed_port, unused_ports
from harness.processes import Enforcer, enforcer
from harness.servers import Server, raw_server, response
from harness.testbed import echo

WELL_KNOWN = "/.well-known/oauth-protected-resource"
RULES: list[dict[str, Any]] = [
    {"name": "mcp", "path": "/mcp/**", "any_scope": ["mcp", "admin"]},
    {"name": "write", "path": "/mcp/write", "methods": ["POST"], "scopes": ["mcp.write"]},
    {"name": "else", "path": "/**", "scopes": ["else"]},
    {"name": "open", "path": "/open/**", "public": True},
]


class Stack(NamedTuple):
    """An enforcer for one resource, with its app and its authorization server."""

    proxy: Enforcer
    app: Server
    issuer: Issuer
    resource: str

    def url(self, path: str) -> str:
        return f"http://localhost:{self.proxy.port}{path}"

    def request(self, method: str, path: str, **fields: str) -> httpx.Response:
        with plain_http.client() as client:
            return client.request(method, self.url(path), headers=fields)


def settings(app: Server, issuer: Issuer, **changes: Any) -> str:
    server = {"issuer": issuer.url, "client_id": "enforcer", "client_secret": {"env": "ENFORCER_CLIENT_SECRET"}}
    sections = {"rules": RULES, "authorization_servers": [server], "scope_implies": {"admin": ["mcp"]}, **changes}
    return config(f"http://127.0.0.1:{app.port}", issuer.server.port, **sections)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_issuer() as issuer, raw_server(echo) as app, closed_port() as port:
        resource = f"http://localhost:{port}/mcp"
        issuer.tokens.update({
            "good": {"scope": "mcp", "aud": resource},
            "slash": {"scope": "mcp", "aud": f"{resource}/"},
            "other": {"scope": "mcp", "aud": "https://other.example.org"},
        })  # fmt: skip
        about = {"resource": resource, "name": "Weather", "documentation": "https://example.org/docs"}
        with enforcer(settings(app, issuer, resources=[about])) as proxy:
            yield Stack(proxy, app, issuer, resource)


@pytest.mark.parametrize("path", [f"{WELL_KNOWN}/mcp", f"{WELL_KNOWN}/mcp/", WELL_KNOWN, f"{WELL_KNOWN}/?x=1"])
def test_the_document_is_made_from_the_configuration(stack: Stack, path: str) -> None:
    """Its resource is exactly the configured text, its scopes the fewest that reading requires, nothing is empty."""
    document = stack.request("GET", path)
    assert document.status_code == 200
    assert document.headers["content-type"] == "application/json"
    assert document.json() == {
        "resource": stack.resource,
        "authorization_servers": [stack.issuer.url],
        "scopes_supported": ["mcp"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Weather",
        "resource_documentation": "https://example.org/docs",
    }


def test_the_document_is_public_and_readable_by_browsers_and_never_forwarded(stack: Stack) -> None:
    """With a bad token too, and for HEAD and preflights."""
    before = len(stack.app.requests)
    for fields in ({}, {"Authorization": "Bearer bad"}, {"Origin": "https://web.example.org"}):
        document = stack.request("GET", f"{WELL_KNOWN}/mcp", **fields)
        assert (document.status_code, document.headers["access-control-allow-origin"]) == (200, "*")
    head = stack.request("HEAD", f"{WELL_KNOWN}/mcp")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(document.content)))
    asks = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "mcp-protocol-version"}
    preflight = stack.request("OPTIONS", f"{WELL_KNOWN}/mcp", Origin="https://web.example.org", **asks)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == preflight.headers["access-control-allow-headers"] == "*"
    refused = stack.request("POST", f"{WELL_KNOWN}/mcp")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert len(stack.app.requests) == before


def test_paths_around_the_document_are_the_rules(stack: Stack) -> None:
    """They need a token as before."""
    for path in (f"{WELL_KNOWN}/mcp/x", f"{WELL_KNOWN}/other", f"/mcp{WELL_KNOWN}"):
        assert stack.request("GET", path).status_code == 401


def test_challenges_name_the_document(stack: Stack) -> None:
    """In a 401 and a 403; under a rule that belongs to no resource it is not named."""
    named = f'resource_metadata="http://localhost:{stack.resource.split(":")[2].partition("/")[0]}{WELL_KNOWN}/mcp"'
    assert stack.request("GET", "/mcp").headers["www-authenticate"] == f"Bearer {named}"
    invalid = stack.request("GET", "/mcp", Authorization="Bearer bad").headers["www-authenticate"]
    assert invalid == f'Bearer error="invalid_token", {named}'
    denied = stack.request("POST", "/mcp/write", Authorization="Bearer good")
    challenge = denied.headers["www-authenticate"]
    assert (denied.status_code, challenge) == (403, f'Bearer error="insufficient_scope", scope="mcp.write", {named}')
    assert stack.request("GET", "/nothing").headers["www-authenticate"] == "Bearer"


def test_a_token_must_be_for_the_resource(stack: Stack) -> None:
    """With or without a slash at its end, because clients request both."""
    statuses = [
        stack.request("GET", "/mcp", Authorization=f"Bearer {token}").status_code
        for token in ("good", "slash", "other")
    ]
    assert statuses == [200, 200, 401]


def test_requests_for_metadata_are_counted_apart(stack: Stack) -> None:
    """Under a route of their own."""
    stack.request("GET", WELL_KNOWN)
    metrics = plain_http.get(f"http://127.0.0.1:{stack.proxy.admin_port}/metrics").text
    assert 'enforcer_decisions_total{decision="allow",reason="public",route="_metadata"}' in metrics


def test_the_app_may_serve_its_metadata_itself() -> None:
    """`serve: false` forwards the request as a rule says; the challenge names the document all the same."""

    def respond(head: bytes, body: bytes) -> bytes:
        return response(json.dumps({"of": "the app"}).encode())

    rules = [{"name": "metadata", "path": f"{WELL_KNOWN}/**", "public": True}, *RULES]
    resources = [{"resource": "http://localhost/mcp", "serve": False}]
    with (
        running_issuer() as issuer,
        raw_server(respond) as app,
        enforcer(settings(app, issuer, rules=rules, resources=resources)) as proxy,
    ):
        stack = Stack(proxy, app, issuer, "")
        assert stack.request("GET", f"{WELL_KNOWN}/mcp").json() == {"of": "the app"}
        assert "resource_metadata" in stack.request("GET", "/mcp").headers["www-authenticate"]


def test_a_real_client_finds_the_authorization_server_and_gets_in() -> None:
    """The Python SDK of MCP: refused, it reads the metadata, requests a token for the resource, and repeats."""
    pytest.importorskip("mcp", reason="the Python SDK of MCP is not installed")
    sdk: Any = importlib.import_module("mcp.client.auth.extensions.client_credentials")
    httpx2: Any = importlib.import_module("httpx2")

    class Storage:
        def __init__(self) -> None:
            self.tokens: Any = None

        async def get_tokens(self) -> Any:
            return self.tokens

        async def set_tokens(self, tokens: Any) -> None:
            self.tokens = tokens

        async def get_client_info(self) -> Any:
            return None

        async def set_client_info(self, client_info: Any) -> None:
            pass

    async def call(url: str, issuer: str) -> int:
        provider = sdk.ClientCredentialsOAuthProvider(url, Storage(), "client", "secret", issuer=issuer)
        async with httpx2.AsyncClient(auth=provider, trust_env=False) as client:
            answer = await client.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
            return int(answer.status_code)

    with running_issuer() as issuer, raw_server(echo) as app:
        (port,) = unused_ports(1)
        resource = f"http://localhost:{port}/mcp"
        issuer.metadata = {"authorization_endpoint": f"{issuer.url}/authorize", "response_types_supported": ["code"]}
        issuer.tokens["own1"] = {"scope": "mcp", "aud": resource}
        changes = {"listener": {"address": f"127.0.0.1:{port}"}, "resources": [{"resource": resource}]}
        with enforcer(settings(app, issuer, **changes)):
            assert asyncio.run(call(resource, issuer.url)) == 200
        (form,) = [form for form in issuer.forms if "grant_type" in form]
        assert form["resource"] == [resource]
        assert form["scope"] == ["mcp"]
        assert [head for head, _ in app.requests if b"Bearer own1" in head]
