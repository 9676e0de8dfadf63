"""Rules proposed from decisions: the exact text."""

import random
from collections.abc import Iterable, Sequence

import pytest
import yaml

from enforcer.analysis.learn import MAX_SEGMENTS, Learner
from enforcer.decision_log.record import LogLine


def record(
    request: str,
    scopes: Sequence[str] | None = ("a",),
    client: str | None = "web",
    *,
    decision: str = "would_deny",
    reason: str = "no_rule",
) -> LogLine:
    method, path = request.split(" ")
    return LogLine(
        time="2026-11-23T16:25:00Z",
        method=method,
        path=path,
        route="_none",
        decision=decision,
        reason=reason,
        scopes=None if scopes is None else tuple(scopes),
        client_id=client,
    )


def proposed(records: Iterable[LogLine | None]) -> str:
    learner = Learner()
    for record_ in records:
        learner.take(record_)
    return learner.propose()


LOG = [
    *(record(f"GET /orders/{number}", ("orders.read", "profile"), f"c{number}") for number in range(120)),
    record("GET /orders/7", ("orders.read",), "web"),
    record("HEAD /orders/8", ("orders.read", "email"), None),
    record("DELETE /orders/7", ("orders.write", "orders.read"), decision="allow", reason="ok"),
    record("PUT /orders/7", ("orders.write",), reason="insufficient_scope"),
    record("PATCH /orders/7", ("orders.write",), "batch"),
    record("GET /me", (), "web"),
    record("GET /feed", ("x",)),
    record("GET /feed", ("y",)),
    record("GET /health", None, None, reason="missing_token"),
    record("GET /health", None, None, reason="no_rule"),
    record("POST /login", None, None, reason="missing_token"),
    record("GET /orders/7", decision="deny"),
    record("GET /orders/7", None, None, decision="error", reason="introspection_timeout"),
    record("GET /docs", None, None, decision="allow", reason="public"),
    record("OPTIONS /orders/7", None, None, decision="allow", reason="preflight"),
    record("GET /orders/7", None, None, reason="introspection_timeout"),
    record("GET /orders/7", None, None, reason="too_many_unseen_tokens"),
    record("GET /orders/7", reason="expired_token"),
    record("GET /orders/7", None, reason="inactive_token"),
    record("GET /orders/../7"),
    None,
]

PROPOSAL = """\
# Proposed from 131 decisions. Not every request that was sent should be
# allowed: review each rule before you use it, and give it a name that says what it is for.
# Skipped, CORS preflights: 1
# Skipped, lines that are not decisions: 1
# Skipped, requests that no rule can match: 1
# Skipped, requests that were refused: 2
# Skipped, requests under public rules: 1
# Skipped, requests whose token could not be verified: 2
# Skipped, requests with a token that is not valid: 2

rules:
  # 2 requests, client web
  # no scope was in every token; seen: scopes x, y
  - name: GET /feed
    path: /feed
    methods: [GET]
    authenticated: true

  # 1 request, client web
  # no token had scopes
  - name: GET /me
    path: /me
    methods: [GET]
    authenticated: true

  # 122 requests, 100 clients or more
  - name: GET /orders/{id}
    path: /orders/{id}
    methods: [GET]
    scopes: [orders.read]

  # 1 request, client web
  - name: DELETE /orders/{id}
    path: /orders/{id}
    methods: [DELETE]
    scopes: [orders.read, orders.write]

  # 2 requests (PATCH 1, PUT 1), clients batch, web
  - name: PATCH PUT /orders/{id}
    path: /orders/{id}
    methods: [PATCH, PUT]
    scopes: [orders.write]

# Requested without a token, and so without a rule; if everybody may, write one with `public: true`:
#   2 times GET /health
#   1 time POST /login
"""


def test_rules_are_proposed_with_comments() -> None:
    """Methods, templates, the scopes of every token, and counts."""
    assert proposed(LOG) == PROPOSAL


def test_the_same_decisions_make_the_same_proposal() -> None:
    """In any order."""
    shuffled = list(LOG)
    random.Random(1).shuffle(shuffled)
    assert proposed(shuffled) == PROPOSAL


def test_an_empty_log_makes_no_rule() -> None:
    """The proposal says so."""
    assert yaml.safe_load(proposed([])) == {"rules": []}


@pytest.mark.parametrize(
    "line",
    [
        record("GET /a", None, decision="allow", reason="public"),
        record("GET /a", None, reason="missing_token"),
        record("GET /a", None, decision="allow", reason="ok"),
        record("GET /a", decision="deny", reason="insufficient_scope"),
        record("GET /a", reason="wrong_audience"),
        record("GET /a", reason="wrong_issuer"),
        record("GET /a", reason="unproven_token"),
        record("CONNECT /a"),
        record("FETCH /a"),
        record("GET a"),
        record("GET /a//b"),
        record("GET /\ud800"),
        record("GET /a" + "/b" * MAX_SEGMENTS),
    ],
)
def test_a_request_without_valid_token_makes_no_rule(line: LogLine) -> None:
    """Above all, no public rule."""
    assert yaml.safe_load(proposed([line])) == {"rules": []}


def test_requests_without_token_do_not_change_the_rules() -> None:
    """Anybody can send them."""
    flood = [
        record(f"GET /word{chr(97 + n // 26)}{chr(97 + n % 26)}", None, reason="missing_token") for n in range(200)
    ]
    assert yaml.safe_load(proposed([*flood, *LOG])) == yaml.safe_load(PROPOSAL)


def test_invalid_scopes_are_skipped() -> None:
    """A log can be edited."""
    assert yaml.safe_load(proposed([record("GET /a", ("a b", "", "c"))]))["rules"][0]["scopes"] == ["c"]


def test_paths_that_could_not_be_read_are_listed() -> None:
    """An operator sees which of them an app needs, and how often, before requests are refused for them."""
    refused = [
        LogLine(time="t", method="GET", path=path, route="_none", decision="error", reason="unreadable_path")
        for path in ["", "/@scope%2fname", "/a//b", "/@scope%2fname", "/a\u202eb", *(f"/{n}//" for n in range(200))]
    ]
    lines = [line for line in proposed(refused).splitlines() if "time" in line]
    assert lines[:2] == ["#   103 times others", "#   2 times /@scope%2fname"]
    assert "#   1 time /a?b" in lines
    assert len(lines) == 101
