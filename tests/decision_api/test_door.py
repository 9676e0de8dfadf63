"""The doors of the decision API, on the connections of the proxy: nothing is forwarded."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from typing import Any

import pytest
from harness.carriers import CALLER, CARRIERS, Fields, nginx
from harness.dataplane import DataPlane, Outcome
from harness.servers import parse_fields

from enforcer.decision_api.contracts import CONTRACTS

NAMES = sorted(CONTRACTS)
TOKEN = (b"Authorization", b"Bearer R~1")


class Bed:
    """A data plane, and the door of one contract."""

    def __init__(self, contract: str, listener: dict[str, Any] | None = None, **changes: Any) -> None:
        self.contract = contract
        self.plane = DataPlane(**changes)
        self.door = self.plane.door(contract=contract, **(listener or {"trusted_proxies": [CALLER]}))

    async def run(self, data: bytes, address: str = CALLER) -> Outcome:
        outcome = await self.plane.run([data], door=self.door, address=address)
        assert (outcome.faults, outcome.arrived) == ([], [])
        return outcome

    async def ask(self, method: bytes, target: bytes, fields: Fields = (), address: str = CALLER) -> Outcome:
        return await self.run(CARRIERS[self.contract](method, target, b"app", fields), address)

    def results(self) -> dict[str, int]:
        return dict(self.door.settings.metrics.results)


def play(script: Coroutine[Any, Any, None]) -> None:
    asyncio.run(script)


def status(outcome: Outcome) -> int:
    return int(outcome.answered[9:12])


def body(outcome: Outcome) -> bytes:
    return outcome.answered.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("name", NAMES)
def test_an_allowed_request_is_answered_200_with_the_identity_fields(name: str) -> None:
    """No body and no other field; the connection stays open for the next request."""

    async def script() -> None:
        bed = Bed(name)
        outcome = await bed.ask(b"GET", b"/api/x", [TOKEN, (b"X-Auth-Scope", b"admin")])
        assert status(outcome) == 200
        assert dict(parse_fields(outcome.answered)) == {
            b"Content-Length": b"0",
            b"Cache-Control": b"no-store",
            b"X-Auth-Subject": b"reader",
            b"X-Auth-Client": b"reading",
            b"X-Auth-Scope": b"read",
        }
        assert (body(outcome), outcome.ended) == (b"", False)
        assert bed.results() == {"allow": 1}
        bed.plane.close()

    play(script())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("method", "target", "fields", "expected", "challenge"),
    [
        (b"GET", b"/api/x", [], 401, b"Bearer"),
        (b"POST", b"/api/x", [TOKEN], 403, b'Bearer error="insufficient_scope", scope="write"'),
        (b"GET", b"/api/x", [(b"Authorization", b"Bearer unknown")], 401, b'Bearer error="invalid_token"'),
        (b"GET", b"/none", [TOKEN], 403, None),
        (b"GET", b"/public/../admin/x", [], 400, None),
        (b"GET", b"/api/%2e%2e/admin", [TOKEN], 400, None),
    ],
)
def test_a_denial_has_the_true_status_challenge_and_body(
    name: str, method: bytes, target: bytes, fields: Fields, expected: int, challenge: bytes | None
) -> None:
    """The caller decides its way to the client. The connection has other clients' requests, and stays open."""

    async def script() -> None:
        bed = Bed(name)
        outcome = await bed.ask(method, target, fields)
        sent = dict(parse_fields(outcome.answered))
        assert (status(outcome), sent.get(b"WWW-Authenticate")) == (expected, challenge)
        assert (sent[b"Cache-Control"], outcome.ended) == (b"no-store", False)
        assert b"X-Auth-Subject" not in sent
        if name == "haproxy":
            assert body(outcome) == b""  # it asks with HEAD
        else:
            assert json.loads(body(outcome))["status"] == expected
        bed.plane.close()

    play(script())


@pytest.mark.parametrize("name", NAMES)
def test_a_method_that_a_field_names_is_authorized_too(name: str) -> None:
    """An app that honours it serves another request than the one that the caller describes."""

    async def script() -> None:
        bed = Bed(name)
        override = (b"X-HTTP-Method-Override", b"POST")
        assert status(await bed.ask(b"GET", b"/api/x", [TOKEN])) == 200
        assert status(await bed.ask(b"GET", b"/api/x", [TOKEN, override])) == 403
        bed.plane.close()

    play(script())


@pytest.mark.parametrize("name", NAMES)
def test_a_field_that_names_another_request_is_read_beside_the_clients(name: str) -> None:
    """Not beside the carrier's method and host. A malformed one is the client's fault: the connection stays open."""

    async def script() -> None:
        bed = Bed(name)
        move = (b"X-HTTP-Method-Override", b"MOVE"), (b"Destination", b"http://app/api/y")
        moved = await bed.ask(b"POST", b"/public/x", move)
        assert (status(moved), moved.ended) == (403, False)  # no rule allows MOVE
        malformed = await bed.ask(b"GET", b"/api/x", [TOKEN, (b"X-HTTP-Method", b"A B")])
        assert (status(malformed), malformed.ended) == (400, False)
        bed.plane.close()

    play(script())


@pytest.mark.parametrize("name", NAMES)
def test_an_outage_is_503_with_retry_after(name: str) -> None:
    """It says nothing of the token, so it is never 401."""

    def fail(_: str) -> dict[str, Any]:
        return {"error": "server_error"}

    async def script() -> None:
        bed = Bed(name)
        bed.plane.introspect = fail
        outcome = await bed.ask(b"GET", b"/api/x", [TOKEN])
        assert status(outcome) == 503
        assert int(dict(parse_fields(outcome.answered))[b"Retry-After"]) > 0
        assert bed.results() == {"error": 1}
        bed.plane.close()

    play(script())


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_that_may_not_ask_is_answered_403_and_logged_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """It could try tokens, and speak for any client."""

    async def script() -> None:
        bed = Bed(name)
        for target in (b"/public/x", b"/api/x", b"/public/../x"):
            outcome = await bed.ask(b"GET", target, [TOKEN], address="203.0.113.66")
            assert status(outcome) == 403
            assert b"answers only the proxies" in outcome.answered or name == "haproxy"
        assert bed.results() == {"deny": 3}
        bed.plane.close()

    with caplog.at_level(logging.WARNING, "enforcer.decision_api"):
        play(script())
    assert [record.getMessage() for record in caplog.records] == [
        "decision API on 127.0.0.1:0: 203.0.113.66 may not ask, and is answered 403; this is logged once"
    ]


def test_a_secret_is_needed_in_each_request_and_reaches_no_log() -> None:
    """It is the proxy's, and no condition of a rule can read it."""

    async def script() -> None:
        listener = {"secret": {"env": "SECRET"}}
        logged = {"credential": {"env": "ENFORCER_CLIENT_SECRET"}}
        bed = Bed("nginx", listener, admin=logged, log={"decisions": "all"})
        secret = (b"X-Enforcer-Secret", b"hush")
        answers = [await bed.ask(b"GET", b"/public/x", fields) for fields in ([secret], [], [secret, secret])]
        assert [status(answer) for answer in answers] == [200, 403, 403]
        backlog = bed.plane.registry.decisions.backlog
        records = [backlog.popleft() for _ in range(len(backlog))]
        assert len(records) == 3
        assert "hush" not in repr(records)
        bed.plane.close()

    play(script())


def test_a_missing_field_of_the_contract_is_400() -> None:
    """A method or target is never assumed, not even for a rule that is public."""

    async def script() -> None:
        bed = Bed("forwarded")
        outcome = await bed.run(b"GET /public/x HTTP/1.1\r\nHost: app\r\nX-Original-URI: /public/x\r\n\r\n")
        assert (status(outcome), json.loads(body(outcome))["detail"]) == (400, "x-forwarded-method: missing")
        bed.plane.close()

    play(script())


@pytest.mark.parametrize("name", NAMES)
def test_a_field_of_another_contract_is_counted(name: str) -> None:
    """Only of a caller: anybody else's fields say nothing of the configuration."""
    foreign = b"X-Original-URI" if name == "forwarded" else b"X-Forwarded-Uri"

    async def script() -> None:
        bed = Bed(name)
        assert status(await bed.ask(b"GET", b"/api/x", [TOKEN, (foreign, b"/public/x")])) == 200
        await bed.ask(b"GET", b"/api/x", [TOKEN, (foreign, b"/public/x")], address="203.0.113.66")
        assert bed.door.settings.metrics.ignored == {foreign.decode().lower(): 1}
        bed.plane.close()

    play(script())


def test_the_rule_in_mode_report_allows_and_counts() -> None:
    """The decision is counted as `would_deny`, as by the proxy; no field says so, because it would reach the app."""

    async def script() -> None:
        bed = Bed("nginx", mode="report", would_deny_field="X-Would-Deny")
        outcome = await bed.ask(b"GET", b"/api/x")
        assert (status(outcome), b"X-Would-Deny" in outcome.answered) == (200, False)
        assert bed.results() == {"would_deny": 1}
        route = bed.plane.telemetry.route("read")
        assert {label: count.value for label, count in route.decisions.items()} == {("would_deny", "missing_token"): 1}
        assert {key: count.value for key, count in route.requests.items()} == {(b"GET", 200): 1}
        bed.plane.close()

    play(script())


@pytest.mark.parametrize("name", NAMES)
def test_a_preflight_passes_as_by_the_proxy(name: str) -> None:
    """It has Origin and the method that it asks for, and no token."""

    async def script() -> None:
        bed = Bed(name, cors_preflight="allow")
        fields = [(b"Origin", b"https://web"), (b"Access-Control-Request-Method", b"GET")]
        assert status(await bed.ask(b"OPTIONS", b"/api/x", fields)) == 200
        assert status(await bed.ask(b"OPTIONS", b"/api/x", fields[:1])) == 403
        bed.plane.close()

    play(script())


def test_unseen_tokens_are_limited_by_client_and_not_by_caller() -> None:
    """One client that floods must not cost the others their requests, although all come by one caller."""

    async def script() -> None:
        bed = Bed("nginx", limits={"unseen_tokens": {"rate": 1, "burst": 1}})

        async def ask(client: bytes, token: bytes) -> int:
            authorization = (b"Authorization", b"Bearer " + token)
            return status(await bed.run(nginx(b"GET", b"/api/x", b"app", [authorization], client)))

        assert [await ask(b"192.0.2.1", b"R~%d" % number) for number in range(3)] == [200, 429, 429]
        assert await ask(b"192.0.2.2", b"R~9") == 200
        bed.plane.close()

    play(script())


def test_the_decision_record_names_the_door_and_the_client() -> None:
    """And no upstream, because nothing is forwarded."""

    async def script() -> None:
        bed = Bed("nginx", log={"decisions": "all"})
        await bed.ask(b"GET", b"/api/x", [TOKEN])
        record = bed.plane.registry.decisions.backlog.popleft()
        assert (record.door, record.client, record.upstream) == ("nginx", "192.0.2.1", "")
        assert (record.method, record.path, record.host) == (b"GET", b"/api/x", b"app")
        assert record.end is not None
        assert (record.end.status, record.end.body) == (200, 0)
        bed.plane.close()

    play(script())


def test_a_reload_replaces_the_settings_of_open_connections() -> None:
    """Access and contract of the next request are those of the newest configuration."""

    async def script() -> None:
        bed = Bed("nginx")
        assert status(await bed.ask(b"GET", b"/public/x")) == 200
        bed.door.settings = bed.plane.door(contract="nginx", trusted_proxies=["203.0.113.1"]).settings
        assert status(await bed.ask(b"GET", b"/public/x")) == 403
        bed.plane.close()

    play(script())
