"""Reports of decisions: the request ID of a refusal, `enforcer why`, and the decision log."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from harness.clients import Client
from harness.configs import RULES, config
from harness.processes import Enforcer, enforcer
from harness.servers import Server
from harness.upstreams import Headers, Upstream
from harness.usage import metric, resident_memory
from harness.waiting import TIMEOUT, eventually

from enforcer.analysis.learn.learner import Learner
from enforcer.decision_log.record import LogLine, parse

CREDENTIAL = {"credential": {"env": "ADMIN_CREDENTIAL"}}
ENVIRONMENT = {"ADMIN_CREDENTIAL": "operator"}
TENANT = {"name": "tenants", "path": "/tenants/{tenant}", "scopes": ["read"], "claims": {"sub": "{tenant}"}}
GENERATED = re.compile(rb"[0-9a-f]{16}")


@pytest.fixture(scope="module")
def explaining(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer that explains its denials to operators."""
    admin = {**CREDENTIAL, "denials": 5}
    text = config(shared_app.url, authorization_server.port, admin=admin, rules=[*RULES, TENANT])
    with enforcer(text, ENVIRONMENT) as process:
        yield process


def denials(process: Enforcer, request_id: bytes) -> list[dict[str, Any]]:
    """Return the recorded denials of a request ID."""
    url = f"http://127.0.0.1:{process.admin_port}/decisions/{request_id.decode()}"
    request = urllib.request.Request(url, headers={"Authorization": "Bearer operator"})
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        records: list[dict[str, Any]] = json.load(response)["decisions"]
        return records
    return []


def decisions(process: Enforcer, count: int) -> list[LogLine]:
    """Return the decisions that were logged, once there are at least `count`."""

    def logged() -> list[LogLine]:
        return [record for line in process.log().splitlines() if (record := parse(line.encode())) is not None]

    assert eventually(lambda: len(logged()) >= count)
    return logged()


@pytest.mark.parametrize(
    ("token", "target", "headers", "status"),
    [
        (None, "/thing", [], 401),
        ("unknown", "/thing", [], 401),
        ("other-token", "/thing", [], 403),
        ("other-token", "/thing", [("Authorization", "Bearer x")], 400),
        ("good-token", "/a%00b", [], 400),
        ("good-token", "/thing", [("Content-Length", "9999999999999")], 413),
    ],
)
def test_a_refusal_is_found_by_its_request_id(
    explaining: Enforcer, token: str | None, target: str, headers: Headers, status: int
) -> None:
    """By the request ID that the client sent, or by the generated one."""
    for own_id in ([], [("X-Request-Id", "f47ac10b-58cc")]):
        with Client(explaining.port, token=token) as client:
            client.begin("GET", target, [*headers, *own_id])
            response = client.read_response()
        (request_id,) = response.values("X-Request-Id")
        assert response.status == status
        assert request_id == b"f47ac10b-58cc" if own_id else GENERATED.fullmatch(request_id)
        assert [record["status"] for record in denials(explaining, request_id)][-1:] == [status]


def test_an_allowed_request_gets_no_generated_id(app: Upstream, explaining: Enforcer) -> None:
    """The client's ID is forwarded, the response has only the app's, and no denial is recorded."""
    app.handler = lambda incoming: incoming.respond(b"", 200, [("X-Request-Id", "the-apps")])
    with Client(explaining.port) as client:
        assert client.request("GET", "/thing").values("X-Request-Id") == [b"the-apps"]
        assert client.request("GET", "/thing", [("x-request-id", "abc 1")]).values("X-Request-Id") == [b"the-apps"]
    assert [request.headers.raw_items()[2] for request in app.requests[1:]] == [(b"x-request-id", b"abc 1")]
    assert denials(explaining, b"the-apps") == []


def test_a_502_has_a_request_id(authorization_server: Server) -> None:
    """The policy allowed the request, so no denial is recorded."""
    text = config("http://127.0.0.1:1", authorization_server.port, admin=CREDENTIAL)
    with enforcer(text, ENVIRONMENT) as process, Client(process.port) as client:
        response = client.request("GET", "/thing", [("X-Request-Id", "mine")])
        assert (response.status, response.values("X-Request-Id")) == (502, [b"mine"])
        assert denials(process, b"mine") == []


def test_a_denial_record_has_what_was_required_and_what_was_present(explaining: Enforcer) -> None:
    """A record has each condition of the rule, the decision, and the challenge."""
    with Client(explaining.port) as client:
        (request_id,) = client.request("GET", "/tenants/bob?secret=1").values("X-Request-Id")
    (record,) = denials(explaining, request_id)
    assert time.time() - 60 < datetime.fromisoformat(record.pop("time")).timestamp() < time.time() + 1
    conditions = {entry["name"]: (entry["needed"], entry["there"], entry["met"]) for entry in record.pop("conditions")}
    assert record == {
        "request_id": request_id.decode(),
        "method": "GET",
        "path": "/tenants/bob",
        "rule": "tenants",
        "decision": "deny",
        "reason": "claim_mismatch",
        "status": 403,
        "detail": "the token does not meet the rule's conditions",
        "challenges": [],
        "client": "127.0.0.1",
        "host": client.host,
        "subject": "alice",
    }
    assert conditions["scopes"] == ("read", "read", True)
    assert conditions["claims.sub"] == ('"bob", the path\'s {tenant}', '"alice"', False)


def test_the_oldest_denial_is_forgotten(explaining: Enforcer) -> None:
    """`admin.denials` limits how many are kept."""
    with Client(explaining.port, token=None) as client:
        for number in range(7):
            assert client.request("GET", "/thing", [("X-Request-Id", f"number-{number}")]).status == 401
    recorded = [bool(denials(explaining, b"number-%d" % number)) for number in range(7)]
    assert recorded == [False, False, *[True] * 5]


def test_many_denials_take_no_more_memory(app: Upstream, authorization_server: Server) -> None:
    """Memory is bounded, however long the paths and IDs are."""
    text = config(app.url, authorization_server.port, admin={**CREDENTIAL, "denials": 20})
    with enforcer(text, ENVIRONMENT) as process, Client(process.port, token="other-token") as client:

        def deny(count: int) -> None:
            for number in range(count):
                target = f"/{number}/{'a' * 8000}"
                assert client.request("GET", target, [("X-Request-Id", f"{number}-{'b' * 100}")]).status == 403

        deny(100)
        before = resident_memory(process.process.pid)
        deny(1000)
        assert resident_memory(process.process.pid) - before < 1024**2


def test_the_log_has_all_decisions_as_learn_reads_them(app: Upstream, authorization_server: Server) -> None:
    """In report mode, `enforcer learn` proposes rules for the logged requests."""
    changes: dict[str, Any] = {"mode": "report", "log": {"decisions": "all"}, "rules": [*RULES[:1], TENANT]}
    with enforcer(config(app.url, authorization_server.port, **changes)) as process:
        with Client(process.port) as client:
            for target in ("/reports/today?secret=2", "/tenants/alice"):
                assert client.request("GET", target, [("X-Request-Id", "id-1")]).status == 200
        with Client(process.port, token=None) as client:
            assert client.request("GET", "/new").status == 200
        with Client(process.port, token="other-token") as client:
            assert client.request("GET", "/public/x").status == 200
        records = decisions(process, 4)
        log = process.log()
    assert [(record.path, record.route, record.decision, record.reason) for record in records] == [
        ("/reports/today", "_none", "would_deny", "no_rule"),
        ("/tenants/alice", "tenants", "allow", "ok"),
        ("/new", "_none", "would_deny", "no_rule"),
        ("/public/x", "public", "allow", "public"),
    ]
    assert [(record.request_id, record.scopes, record.client_id) for record in records] == [
        ("id-1", ("read",), "walker"),
        ("id-1", ("read",), "walker"),
        (None, None, None),
        (None, None, None),
    ]
    assert "secret" not in log
    learner = Learner()
    for line in log.encode().splitlines():
        learner.take(parse(line))
    proposal = learner.propose()
    assert "paths: [/reports/today, /tenants/alice]" in proposal


@pytest.mark.parametrize(
    ("logged", "expected"), [("none", []), ("denied", ["/denied"]), ("all", ["/thing", "/denied"])]
)
def test_the_log_has_the_configured_decisions(
    app: Upstream, authorization_server: Server, logged: str, expected: Sequence[str]
) -> None:
    """As `log.decisions` says; default: none."""
    with enforcer(config(app.url, authorization_server.port, log={"decisions": logged})) as process:
        with Client(process.port) as client:
            assert client.request("GET", "/thing").status == 200
        with Client(process.port, token=None) as client:
            assert client.request("GET", "/denied").status == 401
        assert process.stop() == 0
        assert [record.path for record in decisions(process, len(expected))] == expected


def test_a_log_that_nobody_reads_does_not_delay_requests(app: Upstream, authorization_server: Server) -> None:
    """The buffer is bounded; records that do not fit are counted, and later ones are written again."""
    log = {"decisions": "all", "backlog": 10}
    with enforcer(config(app.url, authorization_server.port, log=log)) as process, Client(process.port) as client:
        target = f"/{'a' * 4000}"
        sent = 0
        while metric(process, "enforcer_decisions_left_out_total") < 5:
            assert client.request("GET", target).status == 200
            sent += 1
        reader = threading.Thread(target=lambda: decisions(process, sent - 20))
        reader.start()
        reader.join(TIMEOUT)
        assert eventually(lambda: client.request("GET", "/later").status == 200 and "/later" in process.log())
