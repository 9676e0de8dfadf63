"""`cors_preflight: allow`: a preflight request of a browser is forwarded without a token, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from harness.clients import Client
from harness.configs import config
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.upstreams import Upstream, upstream

RULES = [
    {"name": "read", "path": "/things/{id}", "methods": ["GET"], "scopes": ["read"]},
    {"name": "write", "path": "/things/{id}", "methods": ["PUT"], "scopes": ["write"]},
    {"name": "quiet", "path": "/quiet", "methods": ["PUT"], "scopes": ["write"], "cors_preflight": "judge"},
    {"name": "options", "path": "/options", "methods": ["OPTIONS"], "scopes": ["read"]},
    {"name": "all", "path": "/all", "scopes": ["read"]},
    {"name": "here", "path": "/here", "host": "app.example.org", "scopes": ["read"]},
]
ORIGIN = ("Origin", "https://web.example.org")


class Stack(NamedTuple):
    """An enforcer that allows preflights, and its app."""

    proxy: Enforcer
    app: Upstream


@pytest.fixture(scope="module")
def stack(authorization_server: Server) -> Iterator[Stack]:
    with upstream() as app:
        settings = config(app.url, authorization_server.port, rules=RULES, cors_preflight="allow")
        with enforcer(settings) as proxy:
            yield Stack(proxy, app)


def requests_method(method: str) -> tuple[str, str]:
    return "Access-Control-Request-Method", method


@pytest.mark.parametrize(
    ("target", "fields", "status"),
    [
        ("/things/7", [ORIGIN, requests_method("GET")], 200),
        ("/things/7", [ORIGIN, requests_method("PUT")], 200),
        ("/things/7", [ORIGIN, requests_method("HEAD")], 200),
        ("/things/7", [ORIGIN, requests_method("PUT"), ("Access-Control-Request-Headers", "authorization")], 200),
        ("/all", [ORIGIN, requests_method("DELETE")], 200),
        ("/things/7", [ORIGIN, requests_method("DELETE")], 403),
        ("/things/7", [ORIGIN, requests_method("OPTIONS")], 403),
        ("/things/7", [ORIGIN], 403),
        ("/things/7", [requests_method("GET")], 403),
        ("/all", [ORIGIN, requests_method("CONNECT")], 401),
        ("/all", [ORIGIN], 401),
        ("/nowhere", [ORIGIN, requests_method("GET")], 403),
        ("/quiet", [ORIGIN, requests_method("PUT")], 403),
        ("/options", [ORIGIN, requests_method("PUT")], 401),
        ("/here", [ORIGIN, requests_method("GET")], 403),
        ("/things/../all", [ORIGIN, requests_method("GET")], 400),
    ],
)
def test_a_preflight_is_forwarded_if_a_rule_matches_its_method(
    stack: Stack, target: str, fields: list[tuple[str, str]], status: int
) -> None:
    """If a rule matches the requested method, it is forwarded to the app without a token."""
    stack.app.requests.clear()
    with Client(stack.proxy.port, token=None) as client:
        assert client.request("OPTIONS", target, fields).status == status
    assert len(stack.app.requests) == (status == 200)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT"])
def test_no_other_method_is_a_preflight(stack: Stack, method: str) -> None:
    """The fields without OPTIONS are not a preflight."""
    with Client(stack.proxy.port, token=None) as client:
        assert client.request(method, "/all", [ORIGIN, requests_method("GET")]).status == 401


def test_a_preflight_with_credentials_or_content_is_an_ordinary_options_request(stack: Stack) -> None:
    """A browser sends neither, so that neither a token nor a body can bypass its rule."""
    with Client(stack.proxy.port, token="unknown") as client:
        assert client.request("OPTIONS", "/all", [ORIGIN, requests_method("GET")]).status == 401
    with Client(stack.proxy.port, token=None) as client:
        assert client.request("OPTIONS", "/all", [ORIGIN, requests_method("GET")], body=b"x").status == 401
    with Client(stack.proxy.port) as client:
        assert client.request("OPTIONS", "/all", [ORIGIN, requests_method("GET")]).status == 200


def test_by_default_a_preflight_is_an_ordinary_options_request(stack: Stack, proxy: Enforcer) -> None:
    """By default, it needs a token as all requests do."""
    with Client(proxy.port, token=None) as client:
        assert client.request("OPTIONS", "/thing", [ORIGIN, requests_method("GET")]).status == 401
