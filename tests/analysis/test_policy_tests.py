"""Policy tests: their expectations, outcomes and coverage of rules."""

from typing import Any

import pytest
from harness.policies import NOW, REFUSALS, policy
from pydantic import TypeAdapter, ValidationError

from enforcer.analysis.policy_tests import PolicyTestResult, PolicyTests, TokenFacts, coverage, run, with_scopes
from enforcer.policy.decision import NO_ANSWER, OF_A_PROOF, Reason
from enforcer.tokens.claims import ActiveToken, ScopeClaims
from enforcer.tokens.introspection.response import INACTIVE

POLICY = policy(
    {"name": "read", "path": "/a/**", "methods": ["GET"], "scopes": ["read"]},
    {"name": "mine", "path": "/a/{user}", "methods": ["GET"], "claims": {"sub": "{user}"}},
    {"name": "health", "path": "/health", "public": True},
)
_CASES = TypeAdapter(PolicyTests)

_AMBIGUOUS = "the path can be read in ways that different rules apply to"


def outcomes(*tests: dict[str, Any], **tokens: dict[str, Any]) -> list[PolicyTestResult]:
    named = [{"name": str(number), **test} for number, test in enumerate(tests)]
    return run(_CASES.validate_python({"tokens": tokens, "tests": named}), POLICY, NOW, REFUSALS)


@pytest.mark.parametrize(
    "test",
    [
        {"request": "GET /a/b/c", "expect": "deny", "reason": "missing_token", "status": 401},
        {"request": "GET /a/b/c", "token": "none", "expect": "deny", "rule": "read"},
        {"request": "GET /a/b/c", "token": "reader", "expect": "allow", "rule": "read", "reason": "ok"},
        {"request": "GET /a/b/c", "token": {"scope": "write"}, "expect": "deny", "reason": "insufficient_scope"},
        {"request": "GET /a/b/c", "token": {"scope": "read", "expired": True}, "expect": "deny", "status": 401},
        {"request": "GET /a/b/c", "token": {"inactive": True}, "expect": "deny", "reason": "inactive_token"},
        {
            "request": "GET /a/b/c",
            "token": {"claims": {"nbf": NOW + 1}},
            "expect": "deny",
            "reason": "insufficient_scope",
        },
        {"request": "GET /a/b/c", "token": {"claims": {"typ": "ID"}}, "expect": "deny", "reason": "inactive_token"},
        {"request": "GET /a/b/c?access_token=x", "token": "reader", "expect": "allow"},
        {"request": "GET /a/alice", "token": {"sub": "alice"}, "expect": "allow", "rule": "mine"},
        {"request": "GET /a/alice", "token": {"sub": "bob"}, "expect": "deny", "reason": "claim_mismatch"},
        {"request": "GET /a/alice", "token": "reader", "host": "x y", "expect": "deny", "reason": "malformed_request"},
        {"request": "GET /health", "expect": "allow", "reason": "public"},
        {"request": "GET /health", "token": "keyed", "proof": "other", "expect": "allow", "reason": "public"},
        {"request": "GET /a/b/c", "token": "keyed", "proof": "k", "expect": "allow"},
        {"request": "GET /a/b/c", "token": "keyed", "proof": "other", "expect": "deny", "reason": "unproven_token"},
        {"request": "GET /a/b/c", "token": "keyed", "expect": "deny", "reason": "wrong_scheme", "status": 401},
        {"request": "GET /a/b/c", "token": "keyed", "certificate": "k", "expect": "deny", "reason": "wrong_scheme"},
        {"request": "GET /a/b/c", "token": "reader", "proof": "k", "expect": "deny", "reason": "wrong_scheme"},
        {"request": "GET /a/b/c", "token": "certified", "certificate": "c", "expect": "allow"},
        {"request": "GET /a/b/c", "token": "certified", "expect": "deny", "reason": "unproven_token"},
        {"request": "GET /b", "expect": "deny", "rule": "_none", "reason": "no_rule", "status": 403},
        {"request": "GET /a/../b", "expect": "deny", "reason": "ambiguous_path", "status": 400},
    ],
)
def test_a_test_passes_if_its_expectations_are_met(test: dict[str, Any]) -> None:
    """An expectation that is not stated may have any value."""
    keyed = {"scope": "read", "claims": {"cnf": {"jkt": "k"}}}
    certified = {"scope": "read", "claims": {"cnf": {"x5t#S256": "c"}}}
    (outcome,) = outcomes(test, reader={"scope": "read"}, keyed=keyed, certified=certified)
    assert outcome.differences == ()
    assert outcome.passed


FAILURE = """\
decision: expected allow, got deny
rule: expected read, got mine
reason: expected ok, got claim_mismatch

GET /a/alice
path: /a/alice

rules that match this path, the most specific first:
  ✓  "mine"  rules.yaml:2  /a/{user}  chosen
  ✗  "read"  rules.yaml:1  /a/**      less specific than /a/{user}

conditions of rule "mine":
  ✓  token       needed: an access token             there: one
  ✓  state       needed: active                      there: active
  ✓  time        needed: valid now                   there: no expiry
  ✗  claims.sub  needed: "alice", the path's {user}  there: none

decision: deny, claim_mismatch
answer: 403, the token does not meet the rule's conditions
"""


def test_a_failure_has_the_explanation() -> None:
    """Expected and actual results, and why."""
    test = {"request": "GET /a/alice", "token": {"scope": "read"}, "expect": "allow", "rule": "read", "reason": "ok"}
    (outcome,) = outcomes(test)
    assert not outcome.passed
    assert outcome.failure == FAILURE


def test_the_status_of_an_allowed_request_is_none() -> None:
    """The app's status is not known."""
    (outcome,) = outcomes({"request": "GET /health", "expect": "deny", "status": 401})
    assert [(difference.member, difference.expected, difference.got) for difference in outcome.differences] == [
        ("decision", "deny", "allow"),
        ("status", "401", "none"),
    ]


def test_a_token_is_read_like_an_introspection_response() -> None:
    """With the same parser."""
    facts = TokenFacts(
        scope="a b", client_id="c", sub="s", iss="i", aud=("x", "y"), claims={"tenant": "t"}, expired=True
    )
    token = facts.result(NOW)
    assert isinstance(token, ActiveToken)
    assert (token.scopes, token.client_id, token.subject, token.issuer) == (frozenset("ab"), "c", "s", "i")
    assert (token.audience, token.claims["tenant"], token.expires) == (frozenset("xy"), "t", NOW - 1)
    assert TokenFacts(inactive=True).result(NOW) is INACTIVE


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"inactive": True, "scope": "a"}, "an inactive token has no other member"),
        ({"claims": {"scope": "a"}}, "claims: scope is set by a key of its own"),
        ({"claims": {"exp": 1}}, "claims: exp is set by a key of its own"),
        ({"claims": {"nbf": "soon"}}, "claims: nbf is not a date"),
    ],
)
def test_facts_that_no_token_can_have_are_an_error(facts: dict[str, Any], why: str) -> None:
    """Not a test that passes for the wrong reason."""
    with pytest.raises(ValidationError, match=why):
        outcomes({"request": "GET /a", "expect": "deny", "token": facts})


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ({"request": "/a", "expect": "deny"}, "request: expected a method, a space and a path"),
        ({"request": "GET  /a", "expect": "deny"}, "request: expected a method, a space and a path"),
        ({"request": "GET /a", "expect": "deny", "reason": "scope"}, "reason: expected one of ok, public, preflight"),
        ({"request": "GET /a", "expect": "allow", "status": 200}, "the status of an allowed request is the app's"),
        ({"request": "GET /a", "expect": "refuse"}, "expect"),
        ({"request": "GET /a"}, "expect"),
        ({"request": "GET /a", "expect": "deny", "reason": "stale_proof"}, "reason: expected one of ok, public"),
        ({"request": "GET /a", "expect": "deny", "proof": "k"}, "proof: only for a request with a token"),
        (
            {"request": "GET /a", "expect": "deny", "preflight": "GET"},
            "preflight: only for an OPTIONS request without a token",
        ),
        (
            {"request": "OPTIONS /a", "expect": "deny", "preflight": "GET", "token": {"scope": "a"}},
            "preflight: only for an OPTIONS request without a token",
        ),
    ],
)
def test_a_test_that_says_too_little_or_nonsense_is_an_error(test: dict[str, Any], why: str) -> None:
    """A missing expectation is not guessed."""
    with pytest.raises(ValidationError, match=why):
        outcomes(test)


@pytest.mark.parametrize(
    "reason", [*(reason for reason in Reason if reason not in NO_ANSWER | OF_A_PROOF), "malformed_request"]
)
def test_every_reason_can_be_expected(reason: str) -> None:
    """Those of the metrics, and that of a malformed request; no test calls an authorization server."""
    assert outcomes({"request": "GET /a", "expect": "deny", "reason": str(reason)})


def test_a_denial_in_report_mode_is_would_deny() -> None:
    """A test that expects `deny` fails in report mode; for coverage, `would_deny` counts as denied."""
    reporting = policy({"name": "a", "path": "/a", "scopes": ["read"]}, mode="report")
    tests = [
        {"name": "1", "request": "GET /a", "expect": "would_deny", "reason": "missing_token", "status": 401},
        {"name": "2", "request": "GET /b", "expect": "would_deny", "rule": "_none", "status": 403},
        {"name": "3", "request": "GET /a", "expect": "deny", "status": 401},
        {"name": "4", "request": "GET /a", "token": {"scope": "read"}, "expect": "allow"},
    ]
    results = run(_CASES.validate_python({"tests": tests}), reporting, NOW, REFUSALS)
    assert [[(difference.member, difference.got) for difference in outcome.differences] for outcome in results] == [
        [],
        [],
        [("decision", "would_deny")],
        [],
    ]
    (covered,) = coverage(reporting, results)
    assert covered.missing is None


def test_a_rule_is_covered_if_tests_see_it_allow_and_deny() -> None:
    """Only passed tests count; a public rule need only allow."""
    results = outcomes(
        {"request": "GET /a/b/c", "expect": "deny"},
        {"request": "GET /a/b/c", "expect": "allow", "token": {"scope": "read"}},
        {"request": "GET /a/x", "expect": "allow", "token": {"sub": "y"}},
        {"request": "GET /a/x", "expect": "deny", "token": {"sub": "y"}},
    )
    assert [outcome.passed for outcome in results] == [True, True, False, True]
    assert [(rule.entry.rule.name, rule.missing) for rule in coverage(POLICY, results)] == [
        ("read", None),
        ("mine", "allowed"),
        ("health", "allowed"),
    ]
    assert [rule.missing for rule in coverage(POLICY, results[1:2])] == ["denied", "allowed or denied", "allowed"]
    assert [rule.missing for rule in coverage(POLICY, outcomes({"request": "GET /health", "expect": "allow"}))][
        2
    ] is None


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"request": "get /a"}, ["reason: expected a rule's, got malformed_request: request line: unknown method"]),
        (
            {"request": "GET a"},
            ["reason: expected a rule's, got malformed_request: request target: neither a path nor an http URI"],
        ),
        ({"request": "GET /a;b", "status": 400}, []),
        ({"request": "GET /a;b"}, [f"reason: expected a rule's, got ambiguous_path: {_AMBIGUOUS}"]),
        ({"request": "GET a", "reason": "malformed_request"}, []),
        (
            {"request": "GET /a", "token": {"scope": "s"}},
            ["reason: expected another, got wrong_issuer: the token has no iss"],
        ),
        (
            {"request": "GET /a", "token": {"scope": "s", "iss": "i"}},
            ["reason: expected another, got wrong_audience: the token has no aud"],
        ),
        ({"request": "GET /a", "token": {"scope": "s", "iss": "i", "aud": ["other"]}}, []),
        ({"request": "GET /a", "token": {"scope": "s", "iss": "i"}, "reason": "wrong_audience"}, []),
        ({"request": "GET /a", "token": {"inactive": True}}, []),
        ({"request": "GET /a"}, []),
    ],
)
def test_a_denial_that_says_nothing_about_the_rule_fails(case: dict[str, Any], expected: list[str]) -> None:
    """Unless its reason or status is expected: otherwise the test would pass whatever the rule requires."""
    cases = TypeAdapter(PolicyTests).validate_python({"tests": [{"name": "t", "expect": "deny", **case}]})
    rules = policy({"path": "/a", "scopes": ["t"], "audience": ["a"], "issuer": ["i"]})
    (outcome,) = run(cases, rules, NOW, REFUSALS)
    assert [str(difference) for difference in outcome.differences] == expected


def test_a_denial_without_an_address_says_nothing_about_the_rule() -> None:
    """Nor does one without an audience; a denial with an address of another network does."""
    rules = policy({"path": "/a", "scopes": ["s"], "addresses": ["10.0.0.0/8"]})
    case = {"name": "t", "request": "GET /a", "token": {"scope": "s"}, "expect": "deny"}

    def differences(**more: Any) -> list[str]:
        cases = TypeAdapter(PolicyTests).validate_python({"tests": [{**case, **more}]})
        (outcome,) = run(cases, rules, NOW, REFUSALS)
        return [str(difference) for difference in outcome.differences]

    assert differences() == ["reason: expected another, got request_mismatch: the test has no address"]
    assert differences(address="192.0.2.7") == []
    assert differences(token="none") == []
    assert differences(reason="request_mismatch") == []


@pytest.mark.parametrize("address", ["10.0.0.300", "10.0.0.0/8", "localhost", "10.0.0.1:80"])
def test_an_address_that_is_none_is_an_error(address: str) -> None:
    """Such a client has no address, so that the test of a denial would pass."""
    case = {"name": "t", "request": "GET /a", "expect": "deny", "address": address}
    with pytest.raises(ValidationError, match="address: expected an IP address"):
        TypeAdapter(PolicyTests).validate_python({"tests": [case]})


def test_a_token_is_read_as_the_authorization_server_of_its_rule_has_it() -> None:
    """If the claim with its scopes cannot be read, there is no decision, and the test fails."""
    rules = policy({"path": "/a/**", "scopes": ["read"]}, scope_claims=ScopeClaims(["roles"]))
    tests = [
        {"name": "roles", "request": "GET /a", "token": {"claims": {"roles": ["read"]}}, "expect": "allow"},
        {"name": "scope", "request": "GET /a", "token": {"scope": "read"}, "expect": "allow"},
        {"name": "other", "request": "GET /a", "token": {"claims": {"scp": "read"}}, "expect": "deny", "status": 403},
        {"name": "wrong", "request": "GET /a", "token": {"claims": {"roles": 5}}, "expect": "deny"},
        {"name": "both", "request": "GET /a", "token": {"scope": "read", "claims": {"roles": 5}}, "expect": "deny"},
    ]
    results = run(_CASES.validate_python({"tests": tests}), rules, NOW, REFUSALS)
    malformed = "introspection_malformed"
    assert [result.judgement.reason for result in results] == ["ok", "ok", "insufficient_scope", malformed, malformed]
    assert [result.passed for result in results] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("names", "claims", "expected"),
    [
        (["scope", "scp"], {}, {"scope": "r w"}),
        (["scope", "scp"], {"scp": "x"}, {"scope": "r w", "scp": "x"}),
        (["scp", "roles"], {}, {"scp": "r w"}),
        (["scp", "roles"], {"roles": ["x"]}, {"roles": ["x", "r", "w"]}),
        (["permissions", "scope"], {}, {"scope": "r w"}),
        (["permissions", "scope"], {"permissions": "x"}, {"permissions": "x r w"}),
        (["realm.roles"], {"realm": {"id": 1}}, {"realm": {"id": 1, "roles": ["r", "w"]}}),
        (["realm.roles"], {"realm.roles": ["x"]}, {"realm.roles": ["x", "r", "w"]}),
        (["/a/b.c"], {"a": None}, {"a": {"b.c": ["r", "w"]}}),
        (["realm.roles"], {"realm": "x"}, {"realm": "x"}),
    ],
)
def test_scopes_are_in_the_claim_that_the_authorization_server_has_them_in(
    names: list[str], claims: dict[str, Any], expected: dict[str, Any]
) -> None:
    """The token then has them as the enforcer reads it, and its other claims as they are."""
    scope_claims = ScopeClaims(names)
    members = with_scopes(claims, "r w", scope_claims)
    assert members == expected
    if claims != expected:
        assert scope_claims.read(members) >= {"r", "w"}


def test_an_unknown_token_is_not_a_request_without_a_token() -> None:
    """A test that expects a denial would pass for nothing."""
    with pytest.raises(KeyError, match="nobody"):
        outcomes({"request": "GET /a/b/c", "token": "nobody", "expect": "deny"})
