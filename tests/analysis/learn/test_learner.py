"""Rules proposed from decisions: the exact text."""

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import yaml
from analysis.learn.realistic_log import realistic_log
from pydantic import TypeAdapter

from enforcer.analysis.evaluator import Policy, PolicyRequest
from enforcer.analysis.learn.hosts import MAX_HOSTS
from enforcer.analysis.learn.learner import MAX_SEGMENTS, Learner
from enforcer.decision_log.record import LogLine
from enforcer.policy.decision import Allow
from enforcer.policy.rules import Rule
from enforcer.tokens.claims import read_claims


def record(
    request: str,
    scopes: Sequence[str] | None = ("a",),
    client: str | None = "web",
    *,
    decision: str = "would_deny",
    reason: str = "no_rule",
    host: str | None = None,
    status: int | None = None,
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
        host=host,
        status=status,
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
# The rules allow 128 requests.
# Skipped, CORS preflights: 1
# Skipped, lines that are not decisions: 1
# Skipped, requests that were refused: 2
# Skipped, requests under public rules: 1
# Skipped, requests whose token could not be verified: 2
# Skipped, requests with a token that is not valid: 2
# Skipped, requests with ambiguous paths: 1

rules:
  # 2 requests, client web
  # no scope was in every token; seen: scopes x, y
  - name: GET /feed
    path: /feed
    methods: [GET]
    any_scope: [x, "y"]

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

# Parsers read these paths differently. Such a path passes only if all its readings match the same
# rule, as below `**`:
#   1 time /orders/../7
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
        record("GET /a", decision="unknown"),
        record("GET /a", reason="unknown"),
        record("GET /a", reason="nobody"),
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


@pytest.mark.parametrize("reason", ["request_mismatch", "insufficient_user_authentication", "client_mismatch"])
def test_a_token_that_meets_too_few_conditions_is_valid(reason: str) -> None:
    """Its request leads to a rule: the conditions of the present policy may be wrong."""
    assert [rule["path"] for rule in yaml.safe_load(proposed([record("GET /a", reason=reason)]))["rules"]] == ["/a"]


ENCODED = [
    *(record(f"GET /projects/group%2Fname{number}", ("read_api",), status=200) for number in range(3)),
    record("GET /projects/7", ("read_api",), status=200),
    record("GET /projects/a%2Fb%23c", ("read_api",), decision="allow", reason="ok", status=200),
    record("GET /projects/no%2Fproject", ("read_api",), status=404),
    record("GET /files/a%2F..", ("read_api",), status=200),
    record("GET /files/%2Fa", ("read_api",), status=200),
    *(record(f"GET /files/{number}%5Ca", None, decision="deny", reason="ambiguous_path") for number in range(150)),
    record("PUT /files/1%5Ca", None, reason="no_rule"),
]


def test_segments_with_encoded_delimiters_lead_to_rules_without_the_key_that_lets_them_pass() -> None:
    """A log cannot show whether the app keeps the delimiter: a wrong key would open the paths below the segment."""
    assert (
        proposed(ENCODED)
        == """\
# Proposed from 6 decisions. Not every request that was sent should be
# allowed: review each rule before you use it, and give it a name that says what it is for.
# The rules allow 1 request.
# Whether 4 more requests may pass depends on `encoded`.
# Skipped, requests with ambiguous paths: 153

rules:
  # 5 requests, client web
  # 4 of them had an encoded delimiter in a segment, and may be refused; if the app keeps it in the
  # segment, add encoded: [slash, hash]
  - name: GET /projects/{id}
    path: /projects/{id}
    methods: [GET]
    scopes: [read_api]

# Parsers read these paths differently. Such a path passes only if all its readings match the same
# rule, as below `**`:
#   1 time /files/%2Fa
#   1 time /files/a%2F..
# Refused, or without a token: some apps end a segment at the encoded delimiter in it. If the app
# keeps it in the segment, add the key to the rule for the path, and to the rules around it:
#   150 times GET /files/{id}, encoded: [backslash]
#   1 time PUT /files/{id}, encoded: [backslash]
"""
    )


def test_with_the_key_that_a_comment_names_the_logged_requests_pass() -> None:
    """The key is that of the enforcer."""
    (rule,) = yaml.safe_load(proposed(ENCODED))["rules"]
    request = PolicyRequest("GET", "/projects/a%2Fb%23c")
    for more, expected in (({}, None), ({"encoded": ["slash", "hash"]}, "/projects/{id}")):
        entry = Policy([(TypeAdapter(Rule).validate_python({**rule, **more}), "")]).locate(request).entry
        assert (entry.path if entry else None) == expected


def test_invalid_scopes_are_skipped() -> None:
    """A log can be edited."""
    assert yaml.safe_load(proposed([record("GET /a", ("a b", "", "c"))]))["rules"][0]["scopes"] == ["c"]


def test_paths_that_could_not_be_read_are_listed() -> None:
    """An operator sees which of them an app needs, and how often, before requests are refused for them."""
    refused = [
        LogLine(time="t", method="GET", path=path, route="_none", decision="error", reason="unreadable_path")
        for path in ["", "/@scope%2fname", "//a\u202eb", "/@scope%2fname", *(f"/{n}//" for n in range(200))]
    ]
    lines = [line for line in proposed(refused).splitlines() if "time" in line or "more" in line]
    assert lines[:3] == ["#   102 times others", "#   2 times /@scope%2fname", "#   1 time //a?b"]
    assert (lines[-1], len(lines)) == ("#   and 51 more", 51)


def test_a_request_that_the_app_did_not_serve_makes_no_rule() -> None:
    """The requests of a scanner with a token are listed, and a refusal by the app shows nothing about the token."""
    lines = [record("GET /orders/7", status=status) for status in (401, 403)]
    lines += [record(f"GET /{name}", status=status) for name, status in zip("abcd", (404, 405, 410, 501), strict=True)]
    text = proposed([*lines, record("GET /x", status=200), record("GET /x", status=404), record("GET /y", status=500)])
    assert [rule["paths"] for rule in yaml.safe_load(text)["rules"]] == [["/x", "/y"]]
    assert "# Skipped, requests that the app refused (401, 403): 2\n" in text
    assert re.findall("#   1 time (.*)", text) == ["GET /a", "GET /b", "GET /c", "GET /d"]


def test_one_token_without_the_scope_does_not_open_the_rule() -> None:
    """The comment says how many requests would be refused; with more of them, no scope is required."""
    text = proposed([*(record("GET /docs", ("docs.read",)) for _ in range(99)), record("GET /docs", ("x",))])
    assert yaml.safe_load(text)["rules"][0]["scopes"] == ["docs.read"]
    assert "# The rules allow 99 requests, and refuse 1 whose token lacked the scope.\n" in text
    assert "  # 1 of them had a token without docs.read, and would be refused\n" in text
    varied = [*(record("GET /docs", ("docs.read",)) for _ in range(90)), *(record("GET /docs", ()) for _ in range(10))]
    assert yaml.safe_load(proposed(varied))["rules"][0]["authenticated"] is True


def test_a_realistic_log_leads_to_the_policy_that_a_person_would_write() -> None:
    """For 25 endpoints, 36 users and 33 products, with a scanner, outdated tokens and failures among the requests."""
    rules = yaml.safe_load(proposed(realistic_log()))["rules"]
    assert [{key: value for key, value in rule.items() if key != "name"} for rule in rules] == REALISTIC


def test_the_proposal_says_how_many_requests_it_allows() -> None:
    """As the rules decide themselves."""
    served = [line for line in realistic_log() if line.status in (200, 500)]
    text = proposed(served)
    rules = [TypeAdapter(Rule).validate_python(rule) for rule in yaml.safe_load(text)["rules"]]
    policy = Policy((rule, "") for rule in rules)
    allowed = 0
    for line in served:
        request = policy.locate(PolicyRequest(line.method, line.path, line.host or ""))
        token = read_claims({"scope": list(line.scopes or ()), "sub": line.subject})
        allowed += isinstance(request.decide(token, 0.0), Allow)
    assert f"# The rules allow {allowed:,} requests, and refuse {len(served) - allowed} whose token" in text


def test_more_hosts_than_can_be_told_apart_are_none() -> None:
    """The Host field is the client's choice: it must not cost memory."""
    lines = [record(f"GET /{'ab'[number % 2]}", host=f"h{number}.{number}.example") for number in range(MAX_HOSTS + 5)]
    text = proposed(lines)
    assert f"# The requests had more than {MAX_HOSTS} hosts, and so no rule has a host.\n" in text
    assert [rule.get("host") for rule in yaml.safe_load(text)["rules"]] == [None]


REALISTIC: list[dict[str, Any]] = yaml.safe_load("""
- {path: /reports, host: admin.example.org, methods: [POST], scopes: [admin]}
- {paths: ["/reports/{id}", /users], host: admin.example.org, methods: [GET], scopes: [admin]}
- {path: "/users/{id}", host: admin.example.org, methods: [DELETE, GET], scopes: [admin]}
- {path: "/users/{id}/roles", host: admin.example.org, methods: [PUT], scopes: [admin]}
- {path: "/v2/docs/{id}", host: api.example.org, methods: [GET], scopes: [docs.read]}
- {path: "/v2/docs/{id}", host: api.example.org, methods: [PUT], scopes: [docs.write]}
- paths: [
    "/v2/invoices/{id}.pdf", /v2/orders, "/v2/orders/{id}", "/v2/orders/{id}/invoice.pdf", "/v2/orders/{id}/items",
    "/v2/orders/{id}/items/{id2}"
  ]
  host: api.example.org
  methods: [GET]
  scopes: [orders.read]
- {paths: [/v2/orders, "/v2/orders/{id}:cancel"], host: api.example.org, methods: [POST], scopes: [orders.write]}
- {path: "/v2/orders/{id}", host: api.example.org, methods: [DELETE, PATCH, PUT], scopes: [orders.write]}
- paths: [/v2/products, "/v2/products/{id}"]
  host: api.example.org
  methods: [GET]
  any_scope: [products.admin, products.read]
- {paths: [/v2/search, /v2/users/me], host: api.example.org, methods: [GET], authenticated: true}
- {path: "/v2/users/{id}", host: api.example.org, methods: [GET, PATCH], claims: {sub: "{id}"}}
- {path: "/v2/users/{id}/avatar.png", host: api.example.org, methods: [GET], claims: {sub: "{id}"}}
""")
