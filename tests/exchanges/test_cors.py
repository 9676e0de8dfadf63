"""`cors`: web pages of other origins read our own responses, and preflights are answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from harness.clients import Client, Response
from harness.configs import TOKEN, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.upstreams import Upstream, upstream

WEB = "https://web.example.org"
RULES: list[dict[str, Any]] = [
    {
        "name": "answered",
        "path": "/answered",
        "methods": ["GET", "PUT"],
        "scopes": ["read"],
        "cors_preflight": "answer",
    },
    {"name": "allowed", "path": "/allowed", "scopes": ["read"], "cors_preflight": "allow"},
    {"name": "cookie", "path": "/cookie", "scopes": ["read"], "token_from": {"cookie": "token"}},
]


class Stack(NamedTuple):
    """An enforcer that lets one origin read, and its app."""

    proxy: Enforcer
    app: Upstream

    def request(self, method: str, target: str, origin: str = WEB, *fields: tuple[str, str]) -> Response:
        self.app.requests.clear()
        with Client(self.proxy.port, token=None) as client:
            return client.request(method, target, [("Origin", origin), *fields])


@pytest.fixture(scope="module")
def stack(authorization_server: Server) -> Iterator[Stack]:
    with upstream() as app:
        changes = {"cors": {"origins": [WEB], "credentials": True}}
        with enforcer(config(app.url, authorization_server.port, rules=RULES, **changes)) as proxy:
            yield Stack(proxy, app)


@pytest.mark.parametrize(
    ("method", "target", "fields", "status"),
    [
        ("GET", "/answered", [], 401),
        ("GET", "/answered", [("Authorization", "Bearer other-token")], 403),
        ("GET", "/nowhere", [], 403),
        ("GET", "/a%00b", [], 400),
        ("GET", "/answered", [("Authorization", f"Bearer {'x' * 9000}")], 431),
    ],
)
def test_a_page_reads_every_refusal(
    stack: Stack, method: str, target: str, fields: list[tuple[str, str]], status: int
) -> None:
    """And no page of another origin does."""
    refusal = stack.request(method, target, WEB, *fields)
    assert (refusal.status, refusal.values("Access-Control-Allow-Origin")) == (status, [WEB.encode()])
    assert stack.request(method, target, "https://evil.example", *fields).values("Access-Control-Allow-Origin") == []


def test_responses_of_the_app_stay_as_they_are(stack: Stack) -> None:
    """Only the app knows which pages may read them."""
    allowed = stack.request("GET", "/answered", WEB, ("Authorization", f"Bearer {TOKEN}"))
    assert (allowed.status, allowed.values("Access-Control-Allow-Origin")) == (200, [])


def test_a_preflight_is_answered_or_forwarded_as_its_rule_says(stack: Stack) -> None:
    """If a rule has the method; for a page of another origin the answer permits nothing."""
    asks = ("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "authorization")
    answer = stack.request("OPTIONS", "/answered", WEB, *asks)
    assert (answer.status, answer.values("Access-Control-Allow-Origin")) == (200, [WEB.encode()])
    assert answer.values("Access-Control-Allow-Headers") == [b"authorization"]
    assert stack.app.requests == []
    foreign = stack.request("OPTIONS", "/answered", "https://evil.example", *asks)
    assert (foreign.status, foreign.values("Access-Control-Allow-Origin")) == (200, [])
    assert stack.app.requests == []
    assert stack.request("OPTIONS", "/answered", WEB, ("Access-Control-Request-Method", "DELETE")).status == 403
    assert stack.request("OPTIONS", "/allowed", WEB, *asks).status == 200
    assert len(stack.app.requests) == 1


def test_pages_that_may_send_cookies_may_use_the_token_in_one(stack: Stack) -> None:
    """`credentials` says so to the browser and to the protection against other sites."""
    fields = ("Cookie", f"token={TOKEN}"), ("Sec-Fetch-Site", "cross-site")
    assert stack.request("POST", "/cookie", WEB, *fields).status == 200
    assert stack.request("POST", "/cookie", "https://evil.example", *fields).status == 403
