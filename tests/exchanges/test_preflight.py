"""`cors_preflight: allow`: a browser's question before a request passes without a token, and nothing else does."""

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
    """An enforcer that lets preflights pass, and its app."""

    proxy: Enforcer
    app: Upstream


@pytest.fixture(scope="module")
def stack(authorization_server: Server) -> Iterator[Stack]:
    with upstream() as app:
        settings = config(app.url, authorization_server.port, rules=RULES, cors_preflight="allow")
        with enforcer(settings) as proxy:
            yield Stack(proxy, app)


def asks(method: str) -> tuple[str, str]:
    return "Access-Control-Request-Method", method


@pytest.mark.parametrize(
    ("target", "fields", "status"),
    [
        ("/things/7", [ORIGIN, asks("GET")], 200),
        ("/things/7", [ORIGIN, asks("PUT")], 200),
        ("/things/7", [ORIGIN, asks("HEAD")], 200),
        ("/things/7", [ORIGIN, asks("PUT"), ("Access-Control-Request-Headers", "authorization")], 200),
        ("/all", [ORIGIN, asks("DELETE")], 200),
        ("/things/7", [ORIGIN, asks("DELETE")], 403),
        ("/things/7", [ORIGIN, asks("OPTIONS")], 403),
        ("/things/7", [ORIGIN], 403),
        ("/things/7", [asks("GET")], 403),
        ("/all", [ORIGIN, asks("CONNECT")], 401),
        ("/all", [ORIGIN], 401),
        ("/nowhere", [ORIGIN, asks("GET")], 403),
        ("/quiet", [ORIGIN, asks("PUT")], 403),
        ("/options", [ORIGIN, asks("PUT")], 401),
        ("/here", [ORIGIN, asks("GET")], 403),
        ("/things/../all", [ORIGIN, asks("GET")], 400),
    ],
)
def test_a_preflight_passes_where_a_rule_is_for_what_it_asks(
    stack: Stack, target: str, fields: list[tuple[str, str]], status: int
) -> None:
    """Without a token, and to the app alone: what it answers is the app's."""
    stack.app.requests.clear()
    with Client(stack.proxy.port, token=None) as client:
        assert client.request("OPTIONS", target, fields).status == status
    assert len(stack.app.requests) == (status == 200)


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT"])
def test_no_other_method_passes_for_a_preflight(stack: Stack, method: str) -> None:
    """The fields alone open nothing."""
    with Client(stack.proxy.port, token=None) as client:
        assert client.request(method, "/all", [ORIGIN, asks("GET")]).status == 401


def test_a_preflight_with_credentials_or_content_is_judged_as_any_options(stack: Stack) -> None:
    """A browser sends neither: nobody smuggles a token, or a body, past its rule."""
    with Client(stack.proxy.port, token="unknown") as client:
        assert client.request("OPTIONS", "/all", [ORIGIN, asks("GET")]).status == 401
    with Client(stack.proxy.port, token=None) as client:
        assert client.request("OPTIONS", "/all", [ORIGIN, asks("GET")], body=b"x").status == 401
    with Client(stack.proxy.port) as client:
        assert client.request("OPTIONS", "/all", [ORIGIN, asks("GET")]).status == 200


def test_unless_it_is_allowed_a_preflight_is_an_options(stack: Stack, proxy: Enforcer) -> None:
    """Which needs a token, as all else."""
    with Client(proxy.port, token=None) as client:
        assert client.request("OPTIONS", "/thing", [ORIGIN, asks("GET")]).status == 401
