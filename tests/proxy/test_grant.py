"""Other targets of a request: each is authorized as by a request of its own with the same fields."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from harness.dataplane import DataPlane

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
    """From one of its own places, and only if it accepts a cookie of this origin."""
    assert run(("POST /cookie", *FROM_EVIL))[0] == [(200, True)]
    assert run(("POST /cookie", *FROM_EVIL, OVERRIDE + "DELETE"))[0] == [(401, False)]
    assert run(("POST /cookie", *FROM_OWN, OVERRIDE + "DELETE"))[0] == [(200, True)]
    assert run(("POST /cookie", *FROM_OWN, OVERRIDE + "PUT"))[0] == [(401, False)]


def test_a_request_with_a_token_of_the_announced_rule_is_no_preflight() -> None:
    """The app would get the token, which the rule of OPTIONS does not remove."""
    preflight = ("OPTIONS /announced", "Origin: https://web", "Access-Control-Request-Method: GET")
    assert run(preflight, (*preflight, "Cookie: t=token")) == ([(200, True), (403, False)], 0)
