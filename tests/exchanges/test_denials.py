"""What is told of decisions: the id of a refusal, why it was refused, and the log."""

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
from harness.waiting import eventually

from enforcer.analysis.learn import Learner
from enforcer.decision_log.record import LogLine, parse

CREDENTIAL = {"credential": {"env": "ADMIN_CREDENTIAL"}}
ENVIRONMENT = {"ADMIN_CREDENTIAL": "operator"}
TENANT = {"name": "tenants", "path": "/tenants/{tenant}", "scopes": ["read"], "claims": {"sub": "{tenant}"}}
PLAIN = re.compile(rb"[0-9a-f]{16}")


@pytest.fixture(scope="module")
def watched(shared_app: Upstream, authorization_server: Server) -> Iterator[Enforcer]:
    """An enforcer that can be asked why."""
    admin = {**CREDENTIAL, "denials": 5}
    text = config(shared_app.url, authorization_server.port, admin=admin, rules=[*RULES, TENANT])
    with enforcer(text, ENVIRONMENT) as process:
        yield process


def why(process: Enforcer, request_id: bytes) -> list[dict[str, Any]]:
    """Ask why the requests with an id were refused."""
    url = f"http://127.0.0.1:{process.admin_port}/decisions/{request_id.decode()}"
    asked = urllib.request.Request(url, headers={"Authorization": "Bearer operator"})
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(asked, timeout=10) as answer:
        told: list[dict[str, Any]] = json.load(answer)["decisions"]
        return told
    return []


def decisions(process: Enforcer, count: int) -> list[LogLine]:
    """Return the decisions that were logged, once there are so many."""

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
        ("good-token", "/a//b", [], 400),
        ("good-token", "/thing", [("Content-Length", "9999999999999")], 413),
    ],
)
def test_a_refusal_can_be_asked_about(
    watched: Enforcer, token: str | None, target: str, headers: Headers, status: int
) -> None:
    """By the id that the client sent, or by the one that it was given."""
    for own in ([], [("X-Request-Id", "f47ac10b-58cc")]):
        with Client(watched.port, token=token) as client:
            client.begin("GET", target, [*headers, *own])
            answer = client.read_response()
        (request_id,) = answer.values("X-Request-Id")
        assert answer.status == status
        assert request_id == b"f47ac10b-58cc" if own else PLAIN.fullmatch(request_id)
        assert [one["status"] for one in why(watched, request_id)][-1:] == [status]


def test_a_request_that_is_allowed_has_no_id_of_ours(app: Upstream, watched: Enforcer) -> None:
    """Its own passes to the app, which may answer with it; nobody remembers it here."""
    app.handler = lambda incoming: incoming.respond(b"", 200, [("X-Request-Id", "the-apps")])
    with Client(watched.port) as client:
        assert client.request("GET", "/thing").values("X-Request-Id") == [b"the-apps"]
        assert client.request("GET", "/thing", [("x-request-id", "abc 1")]).values("X-Request-Id") == [b"the-apps"]
    assert [request.headers.raw_items()[2] for request in app.requests[1:]] == [(b"x-request-id", b"abc 1")]
    assert why(watched, b"the-apps") == []


def test_an_app_that_cannot_be_reached_is_a_refusal_with_an_id(authorization_server: Server) -> None:
    """The policy allowed it, so that there is nothing to ask about."""
    text = config("http://127.0.0.1:1", authorization_server.port, admin=CREDENTIAL)
    with enforcer(text, ENVIRONMENT) as process, Client(process.port) as client:
        answer = client.request("GET", "/thing", [("X-Request-Id", "mine")])
        assert (answer.status, answer.values("X-Request-Id")) == (502, [b"mine"])
        assert why(process, b"mine") == []


def test_the_answer_tells_what_was_needed_and_what_was_there(watched: Enforcer) -> None:
    """Each condition of the rule, the decision and the challenge."""
    with Client(watched.port) as client:
        (request_id,) = client.request("GET", "/tenants/bob?secret=1").values("X-Request-Id")
    (told,) = why(watched, request_id)
    assert time.time() - 60 < datetime.fromisoformat(told.pop("time")).timestamp() < time.time() + 1
    conditions = {one["name"]: (one["needed"], one["there"], one["met"]) for one in told.pop("conditions")}
    assert told == {
        "request_id": request_id.decode(),
        "method": "GET",
        "path": "/tenants/bob",
        "rule": "tenants",
        "decision": "deny",
        "reason": "claim_mismatch",
        "status": 403,
        "detail": "the token does not meet the rule's conditions",
        "challenges": [],
    }
    assert conditions["scopes"] == ("read", "read", True)
    assert conditions["claims.sub"] == ('"bob", the path\'s {tenant}', '"alice"', False)


def test_the_oldest_denial_is_forgotten(watched: Enforcer) -> None:
    """There is memory for so many."""
    with Client(watched.port, token=None) as client:
        for number in range(7):
            assert client.request("GET", "/thing", [("X-Request-Id", f"number-{number}")]).status == 401
    remembered = [bool(why(watched, b"number-%d" % number)) for number in range(7)]
    assert remembered == [False, False, *[True] * 5]


def test_denials_without_end_take_no_memory(app: Upstream, authorization_server: Server) -> None:
    """Whatever they are of: paths and ids are as long as a client likes them to be."""
    text = config(app.url, authorization_server.port, admin={**CREDENTIAL, "denials": 20})
    with enforcer(text, ENVIRONMENT) as process, Client(process.port, token="other-token") as client:

        def ask(count: int) -> None:
            for number in range(count):
                target = f"/{number}/{'a' * 8000}"
                assert client.request("GET", target, [("X-Request-Id", f"{number}-{'b' * 100}")]).status == 403

        ask(100)
        before = resident_memory(process.process.pid)
        ask(1000)
        assert resident_memory(process.process.pid) - before < 1024**2


def test_the_log_has_all_decisions_as_learn_reads_them(app: Upstream, authorization_server: Server) -> None:
    """Of a time when nothing was refused: what it proposes are rules for what was asked."""
    changes: dict[str, Any] = {"mode": "report", "log": {"decisions": "all"}, "rules": [*RULES[:1], TENANT]}
    with enforcer(config(app.url, authorization_server.port, **changes)) as process:
        with Client(process.port) as client:
            for target in ("/reports/today?secret=2", "/tenants/alice"):
                assert client.request("GET", target, [("X-Request-Id", "id-1")]).status == 200
        with Client(process.port, token=None) as client:
            assert client.request("GET", "/new").status == 200
        with Client(process.port, token="other-token") as client:
            assert client.request("GET", "/public/x").status == 200
        logged = decisions(process, 4)
        log = process.log()
    assert [(one.path, one.route, one.decision, one.reason) for one in logged] == [
        ("/reports/today", "_none", "would_deny", "no_rule"),
        ("/tenants/alice", "tenants", "allow", "ok"),
        ("/new", "_none", "would_deny", "no_rule"),
        ("/public/x", "public", "allow", "public"),
    ]
    assert [(one.request_id, one.scopes, one.client_id) for one in logged] == [
        ("id-1", ("read",), "walker"),
        ("id-1", ("read",), "walker"),
        (None, None, None),
        (None, None, None),
    ]
    assert "secret" not in log
    learner = Learner()
    for line in log.encode().splitlines():
        learner.take(parse(line))
    proposed = learner.propose()
    assert "path: /reports/today" in proposed
    assert "path: /tenants/alice" in proposed


@pytest.mark.parametrize(
    ("logged", "expected"), [("none", []), ("denied", ["/denied"]), ("all", ["/thing", "/denied"])]
)
def test_the_log_has_what_is_asked_of_it(
    app: Upstream, authorization_server: Server, logged: str, expected: Sequence[str]
) -> None:
    """Nothing at all unless set."""
    with enforcer(config(app.url, authorization_server.port, log={"decisions": logged})) as process:
        with Client(process.port) as client:
            assert client.request("GET", "/thing").status == 200
        with Client(process.port, token=None) as client:
            assert client.request("GET", "/denied").status == 401
        assert process.stop() == 0
        assert [one.path for one in decisions(process, len(expected))] == expected


def test_a_log_that_nobody_reads_holds_no_request_up(app: Upstream, authorization_server: Server) -> None:
    """What waits is bounded; what does not fit is counted, and later decisions are written again."""
    log = {"decisions": "all", "backlog": 10}
    with enforcer(config(app.url, authorization_server.port, log=log)) as process, Client(process.port) as client:
        target = f"/{'a' * 4000}"
        asked = 0
        while metric(process, "enforcer_decisions_left_out_total") < 5:
            assert client.request("GET", target).status == 200
            asked += 1
        reader = threading.Thread(target=lambda: decisions(process, asked - 20))
        reader.start()
        reader.join(20)
        assert eventually(lambda: client.request("GET", "/later").status == 200 and "/later" in process.log())
