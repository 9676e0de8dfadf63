"""`mode: report`: denied requests are forwarded, marked and counted; malformed requests are refused."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from harness.clients import Client
from harness.configs import authorization_server, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server, introspection_server, send_raw
from harness.tunnels import UPGRADE_REQUEST, echo_once, read_until
from harness.upstreams import Incoming, Upstream, upstream
from harness.waiting import TIMEOUT

RULES: list[dict[str, Any]] = [
    {"name": "reports", "path": "/reports/**", "scopes": ["read"]},
    {"name": "mine", "path": "/users/{user}", "claims": {"sub": "{user}"}},
    {"name": "issued", "path": "/issued", "issuer": ["https://as.example.org"]},
    {"name": "shut", "path": "/shut/**", "scopes": ["read"], "mode": "enforce"},
    {"name": "open", "path": "/open", "public": True},
]
TOKENS: dict[str, dict[str, object]] = {
    "good": {"scope": "read", "sub": "alice", "client_id": "web"},
    "wrong-scope": {"scope": "other", "sub": "alice", "client_id": "web"},
    "ended": {"scope": "read", "sub": "alice", "exp": 1},
}
_DECISION = re.compile(r'enforcer_decisions_total\{decision="(\w+)",reason="(\w+)",route="([^"]+)"\} ([0-9.]+)')


class Stack(NamedTuple):
    """An enforcer in report mode, its app, and its authorization server."""

    proxy: Enforcer
    app: Upstream
    server: Server

    def decisions(self) -> dict[tuple[str, str, str], float]:
        """Return the decision counts by rule, decision and reason."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.proxy.admin_port}/metrics", timeout=TIMEOUT) as response:
            series = _DECISION.findall(response.read().decode())
        return {(route, decision, reason): float(count) for decision, reason, route, count in series}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    field = {"would_deny_field": "X-Enforcer-Would-Deny"}
    with upstream() as app, introspection_server(TOKENS) as server:
        settings = config(app.url, server.port, rules=RULES, mode="report", limits={"token": "1KiB"}, **field)
        with enforcer(settings) as proxy:
            yield Stack(proxy, app, server)


def identity(app: Upstream) -> dict[str, str]:
    """Return the identity fields of the last request that reached the app."""
    names = {b"x-auth-subject", b"x-auth-client", b"x-auth-scope"}
    return {name.decode(): value.decode() for name, value in app.requests[-1].headers if name in names}


ALICE = {"x-auth-subject": "alice", "x-auth-client": "web"}


@pytest.mark.parametrize(
    ("target", "token", "labels", "fields"),
    [
        ("/reports/1", "good", ("reports", "allow", "ok"), {**ALICE, "x-auth-scope": "read"}),
        ("/open", None, ("open", "allow", "public"), {}),
        ("/reports/1", None, ("reports", "would_deny", "missing_token"), {}),
        ("/reports/1", "to ken", ("reports", "would_deny", "invalid_request"), {}),
        ("/reports/1", "n!", ("reports", "would_deny", "malformed_token"), {}),
        ("/reports/1", "unknown", ("reports", "would_deny", "inactive_token"), {}),
        ("/reports/1", "ended", ("reports", "would_deny", "expired_token"), {}),
        (
            "/reports/1",
            "wrong-scope",
            ("reports", "would_deny", "insufficient_scope"),
            {**ALICE, "x-auth-scope": "other"},
        ),
        ("/users/bob", "wrong-scope", ("mine", "would_deny", "claim_mismatch"), {**ALICE, "x-auth-scope": "other"}),
        ("/issued", "good", ("issued", "would_deny", "wrong_issuer"), {}),
        ("/nowhere", "good", ("_none", "would_deny", "no_rule"), {**ALICE, "x-auth-scope": "read"}),
        ("/nowhere", "unknown", ("_none", "would_deny", "no_rule"), {}),
        ("/nowhere", None, ("_none", "would_deny", "no_rule"), {}),
    ],
)
def test_a_denied_request_is_forwarded_and_counted(
    stack: Stack, target: str, token: str | None, labels: tuple[str, str, str], fields: dict[str, str]
) -> None:
    """With the identity fields of an active token, and a response field with the reason."""
    before = stack.decisions().get(labels, 0.0)
    forged = [("X-Auth-Subject", "root"), ("x_auth_scope", "all")]
    with Client(stack.proxy.port, token=token) as client:
        response = client.request("GET", target, forged)
    assert response.status == 200
    assert response.values("X-Enforcer-Would-Deny") == ([labels[2].encode()] if labels[1] == "would_deny" else [])
    assert identity(stack.app) == fields
    assert stack.decisions()[labels] == before + 1


def test_a_rule_may_enforce(stack: Stack) -> None:
    """A rule's mode overrides the configuration's."""
    for token, status in ((None, 401), ("wrong-scope", 403), ("good", 200)):
        with Client(stack.proxy.port, token=token) as client:
            response = client.request("GET", "/shut/1")
        assert (response.status, response.values("X-Enforcer-Would-Deny")) == (status, [])


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /reports/../shut HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /reports%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /reports HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST /reports HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"CONNECT /reports HTTP/1.1\r\nHost: a\r\n\r\n", 403),
        (b"GET http://b/reports HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /reports HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"x" * 1025 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"POST /reports HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ],
)
def test_a_malformed_or_oversized_request_is_refused(stack: Stack, head: bytes, status: int) -> None:
    """Malformed and oversized requests are refused before any rule applies."""
    before = len(stack.app.requests)
    assert int(send_raw(stack.proxy.port, head).split(b" ")[1]) == status
    assert len(stack.app.requests) == before


def test_a_tunnel_is_marked_and_does_not_end_with_its_token(stack: Stack) -> None:
    """The response to the upgrade is marked, and the tunnel outlasts its token."""
    TOKENS["short"] = {"scope": "read", "exp": (expires := time.time() + 1.5)}
    stack.app.handler = echo_once
    try:
        with Client(stack.proxy.port) as client, Client(stack.proxy.port) as stranger:
            client.socket.sendall(
                UPGRADE_REQUEST.replace(b"good-token", b"short").replace(b"GET /", b"GET /reports/", 1)
            )
            assert b"Would-Deny" not in read_until(client.socket, b"\r\n\r\n")
            stranger.socket.sendall(
                UPGRADE_REQUEST.replace(b"good-token", b"unknown").replace(b"GET /", b"GET /reports/", 1)
            )
            assert b"\r\nX-Enforcer-Would-Deny: inactive_token\r\n" in read_until(stranger.socket, b"\r\n\r\n")
            client.socket.settimeout(expires - time.time() + 0.6)
            with pytest.raises(TimeoutError):
                client.socket.recv(1)  # neither a byte nor an end
            client.socket.settimeout(TIMEOUT)
            client.socket.sendall(b"echo")
            assert client.socket.recv(4) == b"echo"
    finally:
        stack.app.handler = Incoming.respond


def test_requests_beyond_the_limit_of_unseen_tokens_are_forwarded_without_introspection() -> None:
    """The limit spares the authorization server, and the requests are forwarded."""
    limits = {"unseen_tokens": {"rate": 1, "burst": 2}}
    with upstream() as app, introspection_server(TOKENS) as server:
        with enforcer(config(app.url, server.port, rules=RULES, mode="report", limits=limits)) as proxy:
            stack = Stack(proxy, app, server)
            for number in range(20):
                with Client(proxy.port, token=f"unseen{number}") as client:
                    response = client.request("GET", "/reports/1")
                assert (response.status, response.values("X-Enforcer-Would-Deny")) == (200, [])
            counts = stack.decisions()
            assert counts["reports", "would_deny", "too_many_unseen_tokens"] > 10
        assert len(server.lookups) < 10


def test_requests_are_forwarded_while_the_authorization_server_is_down() -> None:
    """Requests are forwarded; a rule that enforces responds with 503."""
    with upstream() as app, introspection_server(TOKENS) as server:
        settings = config(app.url, server.port, rules=RULES, mode="report")
        server.close()
        with enforcer(settings) as proxy:
            stack = Stack(proxy, app, server)
            for target, status in (("/reports/1", 200), ("/nowhere", 200), ("/shut/1", 503)) * 4:
                with Client(proxy.port, token="good") as client:
                    assert client.request("GET", target).status == status
            assert identity(app) == {}
            counts = stack.decisions()
            assert counts["reports", "would_deny", "introspection_unavailable"] >= 1
            assert counts["_none", "would_deny", "no_rule"] == 4
            assert sum(count for label, count in counts.items() if label[:2] == ("shut", "error")) == 4
            proxy.stop()
            assert "mode report: 4 of 5 rules forward requests that they would deny" in proxy.log()
            assert "mode report: requests that match no rule are forwarded" in proxy.log()


def test_a_token_with_a_wrong_audience_sets_no_identity_without_a_rule() -> None:
    """The audience in the authorization server's settings applies without a matching rule, too."""
    tokens = {"ours": {"sub": "alice", "aud": "this"}, "theirs": {"sub": "mallory", "aud": "that"}}
    with upstream() as app, introspection_server(tokens) as server:
        servers = [authorization_server(server.port, audience=["this"])]
        settings = config(app.url, server.port, rules=RULES, mode="report", authorization_servers=servers)
        with enforcer(settings) as proxy:
            for token, subjects in (("ours", {"alice"}), ("theirs", set())):
                with Client(proxy.port, token=token) as client:
                    assert client.request("GET", "/nowhere").status == 200
                assert {value for name, value in identity(app).items() if name == "x-auth-subject"} == subjects
