"""Requests that are authorized again: their other targets, and streams after a reload, by the same fields."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from harness.dataplane import DataPlane
from harness.playbook import Pipe, head
from harness.snapshots import snapshot

from enforcer.policy.decision import Allow
from enforcer.proxy.grant import Grant
from enforcer.proxy.peer import Peer
from enforcer.proxy.snapshot import Snapshot
from enforcer.server.resources import SharedResources
from enforcer.tokens.claims import ActiveToken, read_claims

COOKIE: dict[str, Any] = {"token_from": {"cookie": "t"}}
LAX: dict[str, Any] = {"token_from": {"cookie": "t", "cross_site": "allow"}}
RULES: list[dict[str, Any]] = [
    {"name": "write", "path": "/fresh", "methods": ["POST"], "scopes": ["read"]},
    {"name": "fresh", "path": "/fresh", "methods": ["DELETE"], "scopes": ["read"], "max_answer_age": "0.001ms"},
    {"name": "lax", "path": "/cookie", "methods": ["POST"], "scopes": ["read"], **LAX},
    {"name": "strict", "path": "/cookie", "methods": ["DELETE"], "scopes": ["read"], **COOKIE},
    {"name": "bearer", "path": "/cookie", "methods": ["PUT"], "scopes": ["read"]},
    {
        "name": "announced",
        "path": "/announced",
        "scopes": ["read"],
        "cors_preflight": "allow",
        "methods": ["GET"],
        **COOKIE,
    },
]
BEARER = "Authorization: Bearer token"
FROM_EVIL = ("Cookie: t=token", "Origin: https://evil", "Sec-Fetch-Site: cross-site")
FROM_OWN = ("Cookie: t=token", "Origin: https://app", "Sec-Fetch-Site: same-origin")
OVERRIDE = "X-HTTP-Method-Override: "


def run(*requests: tuple[str, ...]) -> tuple[list[tuple[int, bool]], int]:
    """Return the status of each request, and whether it was forwarded; and the number of introspection requests."""
    asked: list[str] = []

    def introspect(token: str) -> Mapping[str, Any]:
        asked.append(token)
        return {"active": True, "scope": "read", "exp": time.time() + 900}

    async def exchange() -> list[tuple[int, bool]]:
        plane = DataPlane(introspect, rules=RULES)
        results = []
        try:
            for line, *fields in requests:
                head = "\r\n".join([f"{line} HTTP/1.1", "Host: app", *fields, "", ""])
                outcome = await plane.run([head.encode()])
                assert outcome.faults == []
                results.append((int(outcome.answered.split(b" ")[1]), bool(outcome.arrived)))
        finally:
            plane.close()
        return results

    return asyncio.run(exchange()), len(asked)


def test_the_age_of_a_result_suits_the_rules_of_all_targets() -> None:
    """An override is no way around `max_answer_age`."""
    plain = ("POST /fresh", BEARER)
    assert run(plain, plain) == ([(200, True)] * 2, 1)
    assert run(plain, (*plain, OVERRIDE + "DELETE")) == ([(200, True)] * 2, 2)


def test_the_rule_of_another_target_reads_the_token_too() -> None:
    """From one of its own places, and only if it accepts a cookie of this origin; the refusal is that rule's."""
    assert run(("POST /cookie", *FROM_EVIL))[0] == [(200, True)]
    assert run(("POST /cookie", *FROM_EVIL, OVERRIDE + "DELETE"))[0] == [(403, False)]
    assert run(("POST /cookie", *FROM_OWN, OVERRIDE + "DELETE"))[0] == [(200, True)]
    assert run(("POST /cookie", *FROM_OWN, OVERRIDE + "PUT"))[0] == [(401, False)]


def test_a_request_with_a_token_of_the_announced_rule_is_no_preflight() -> None:
    """The app would get the token, which the rule of OPTIONS does not remove."""
    preflight = ("OPTIONS /announced", "Origin: https://web", "Access-Control-Request-Method: GET")
    assert run(preflight, (*preflight, "Cookie: t=token")) == ([(200, True), (403, False)], 0)


ORIGIN = "https://app.example"
OK = ("allow", "ok")
IN_AUTHORIZATION = {"Authorization": "Bearer token"}


def configured(resources: SharedResources, changes: Mapping[str, Any]) -> Snapshot:
    """Return a snapshot with one rule; `changes` are keys of the rule, and sections."""
    sections = {name: value for name, value in changes.items() if name in ("cors", "forwarding")}
    keys = {name: value for name, value in changes.items() if name not in sections}
    if "public" not in keys:
        keys["authenticated"] = True
    return snapshot(resources=resources, rules=[{"name": "socket", "path": "/**", **keys}], **sections)


def granted(fields: Mapping[str, str], by: Snapshot) -> Grant:
    """Return the grant of a request with these fields, whose token is `token`."""
    request = head(b"GET", b"/socket", *[(name.encode(), value.encode()) for name, value in fields.items()])
    target, route = by.locate(request.method, request.target, request.host)
    token = read_claims({"active": True, "sub": "alice"})
    assert isinstance(token, ActiveToken)
    peer = Peer(Pipe(), by.forwarding)
    return Grant(request, peer, b"GET", target.origin_form, request.lines, b"token", route, Allow(token, OK), (), 0.0)


def ended_by_reload(fields: Mapping[str, str], before: Mapping[str, Any], after: Mapping[str, Any]) -> int | None:
    """Return the status with which a reload ends a stream; None if it lets it go on."""
    resources = SharedResources()
    refusal = granted(fields, configured(resources, before)).reauthorize(configured(resources, after))
    return None if refusal is None else refusal.status


@pytest.mark.parametrize(
    ("fields", "before"),
    [
        pytest.param(IN_AUTHORIZATION, {}, id="the default"),
        pytest.param(IN_AUTHORIZATION, {"token_from": {"bearer": True, "cookie": "t"}}, id="of two places"),
        pytest.param({"Cookie": "t=token"}, {"token_from": {"cookie": "t"}}, id="cookie"),
        pytest.param({"X-Token": "token"}, {"token_from": {"header": "X-Token"}}, id="header"),
    ],
)
def test_a_stream_ends_if_the_new_rule_does_not_read_its_token_where_it_came(
    fields: dict[str, str], before: dict[str, Any]
) -> None:
    """As a new request would be refused; so it is if it has another token in the place that is read now."""
    elsewhere = {"token_from": {"query": "t"}}
    with_header = {"token_from": {"header": "X-Other"}}
    assert ended_by_reload(fields, before, before) is None
    assert ended_by_reload(fields, before, elsewhere) == 401
    assert ended_by_reload(fields, before, elsewhere | {"mode": "report"}) is None
    assert ended_by_reload(fields, before, {"public": True}) is None
    assert ended_by_reload(fields | {"X-Other": "another"}, before, with_header) == 401
    assert ended_by_reload(fields | {"X-Other": "token"}, before, with_header) is None


def test_a_stream_ends_if_the_new_rule_reads_a_second_token() -> None:
    """A request with two tokens is refused, though one of them is valid."""
    both = {"token_from": {"bearer": True, "header": "X-Other"}}
    assert ended_by_reload(IN_AUTHORIZATION, {}, both) is None
    assert ended_by_reload(IN_AUTHORIZATION | {"X-Other": "another"}, {}, both) == 400


def test_a_stream_of_a_page_that_may_no_longer_use_the_cookie_ends() -> None:
    """Its origin is not in `cors.origins` any more, or the rule refuses requests of other sites now."""
    fields = {"Cookie": "t=token", "Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}
    permitted = COOKIE | {"cors": {"origins": [ORIGIN], "credentials": True}}
    assert ended_by_reload(fields, permitted, permitted) is None
    assert ended_by_reload(fields, permitted, LAX) is None
    assert ended_by_reload(fields, permitted, COOKIE) == 403
    assert ended_by_reload(fields, LAX, COOKIE) == 403


def test_a_stream_is_authorized_again_by_the_address_that_is_trusted_now() -> None:
    """The address that a proxy names counts only as long as the proxy is trusted."""
    rule = {"addresses": ["198.51.100.0/24"]}
    fields = IN_AUTHORIZATION | {"X-Forwarded-For": "198.51.100.1"}
    trusting = rule | {"forwarding": {"trusted_proxies": ["192.0.2.0/24"]}}
    assert ended_by_reload(fields, trusting, trusting) is None
    assert ended_by_reload(fields, trusting, rule) == 403
