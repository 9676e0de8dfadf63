"""Reports of denials, made from decision records."""

import pytest

from enforcer.analysis.denial_report import DenialReport, report_denial, to_explanation
from enforcer.analysis.explain import Condition
from enforcer.analysis.explanation_text import write
from enforcer.decision_log.record import DecisionRecord, describe_other
from enforcer.errors import IntrospectionFailure
from enforcer.policy.decision import Evidence, SkippedVerification
from enforcer.policy.rules import Rule
from enforcer.proxy.messages.responses import Refusal
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import ActiveToken, read_claims
from enforcer.tokens.dpop.possession import PossessionFault, with_key
from enforcer.tokens.introspection.response import INACTIVE
from enforcer.tokens.jwt.fault import EXPLANATIONS, RejectedToken

NOW = 1_700_000_000.0
RULE = Rule(name="read", path="/a/{x}", scopes=("a", "b"), audience=("shop",), claims={"sub": "{x}"})
REFUSAL = Refusal(403, "the token lacks a scope", challenges=('Bearer error="insufficient_scope"',))
DENIED = DecisionRecord(
    NOW,
    b"7f",
    b"GET",
    b"/a/%62",
    RULE,
    ("deny", "insufficient_scope"),
    read_claims({"scope": "a", "aud": "shop", "sub": "b", "exp": NOW + 60}),
    None,
    REFUSAL,
)


def test_a_report_has_each_condition_of_the_rule() -> None:
    """With its required and actual values, and the refusal."""
    assert report_denial(DENIED, "then") == DenialReport(
        time="then",
        request_id="7f",
        method="GET",
        path="/a/%62",
        rule="read",
        decision="deny",
        reason="insufficient_scope",
        status=403,
        detail="the token lacks a scope",
        challenges=('Bearer error="insufficient_scope"',),
        conditions=(
            Condition("token", "an access token", "one", True),
            Condition("state", "active", "active", True),
            Condition("time", "valid now", "expires in 60 s", True),
            Condition("audience", "shop", "shop", True),
            Condition("scopes", "all of a, b", "a", False),
            Condition("claims.sub", '"b", the path\'s {x}', '"b"', True),
        ),
        subject="b",
    )


@pytest.mark.parametrize("decision", ["deny", "would_deny"])
def test_a_report_can_be_written_as_text(decision: str) -> None:
    """As an explanation; a forwarded request has the refusal that enforcing would give."""
    report = report_denial(DENIED._replace(label=(decision, "insufficient_scope")), "then")
    lines = write(to_explanation(report)).splitlines()
    assert lines[0] == "GET /a/%62"
    assert ["✗", "scopes", "needed:", "all", "of", "a,", "b", "there:", "a"] in [line.split() for line in lines]
    assert f"decision: {decision}, insufficient_scope" in lines
    assert ("answer: the app's (report mode)" in lines) == (decision == "would_deny")
    assert lines[-2].endswith(": 403, the token lacks a scope")


@pytest.mark.parametrize(
    ("evidence", "name", "there"),
    [
        (NoToken.MISSING, "token", "none"),
        (INACTIVE, "state", "inactive"),
        (IntrospectionFailure.TIMEOUT, "state", "unknown"),
        (SkippedVerification.TOO_MANY, "state", "unknown"),
        *((RejectedToken(fault), "state", f"rejected, {fault}: {text}") for fault, text in EXPLANATIONS.items()),
    ],
)
def test_unknown_conditions_are_not_met(evidence: Evidence, name: str, there: str) -> None:
    """Without a verification result, the conditions of the rule are unknown."""
    conditions = report_denial(DENIED._replace(evidence=evidence), "then").conditions
    assert Condition(name, {"token": "an access token", "state": "active"}[name], there, False) in conditions
    assert [condition.there for condition in conditions if condition.name == "scopes"] == ["unknown"]


def test_a_failed_verification_is_reported_with_what_failed() -> None:
    """The reason does not say which member of a response was malformed."""
    record = DENIED._replace(evidence=IntrospectionFailure.MALFORMED, detail="malformed: sub is not a string")
    conditions = report_denial(record, "then").conditions
    assert Condition("state", "active", "unknown: malformed: sub is not a string", False) in conditions


def test_a_denied_other_target_is_named_with_its_rule() -> None:
    """The conditions are those of the request's own rule, which are all met."""
    detail = describe_other(b"PUT", b"/b/\xff", Rule(name="write", path="/b/**", authenticated=True))
    record = DENIED._replace(label=("deny", "other_target"), detail=detail)
    assert report_denial(record, "then").detail == 'the token lacks a scope; for PUT /b/\\xff, rule "write"'
    unruled = record._replace(detail=describe_other(b"DELETE", b"/a", None))
    assert report_denial(unruled, "then").detail == "the token lacks a scope; for DELETE /a, no rule"
    unread = record._replace(detail="")
    assert report_denial(unread, "then").detail == "the token lacks a scope"


@pytest.mark.parametrize(
    ("cnf", "shown", "there", "met"),
    [
        ({"jkt": "k"}, PossessionFault.MISSING, "missing proof", False),
        ({"x5t#S256": "k"}, PossessionFault.CERTIFICATE, "not the tokens certificate", False),
        ({"x5t#S256": "k"}, None, "not checked", False),
        (None, PossessionFault.UNBOUND, "not bound to a key", False),
    ],
)
def test_possession_is_reported_if_it_was_checked(
    cnf: dict[str, str] | None, shown: PossessionFault | None, there: str, met: bool
) -> None:
    """For a bound token, and for one that came with a proof."""
    token = read_claims({"scope": "a b", "aud": "shop", "sub": "b", "cnf": cnf})
    conditions = report_denial(DENIED._replace(evidence=token, possession=shown), "then").conditions
    assert [(condition.there, condition.met) for condition in conditions if condition.name == "possession"] == [
        (there, met)
    ]
    assert all(condition.met for condition in conditions if condition.name != "possession")


def test_proven_possession_is_met() -> None:
    """The denial has another reason."""
    token = read_claims({"scope": "a", "aud": "shop", "sub": "b", "cnf": {"jkt": "k"}})
    assert isinstance(token, ActiveToken)
    proven = with_key(token, "k")
    conditions = report_denial(DENIED._replace(evidence=token, possession=proven), "then").conditions
    assert [(condition.name, condition.there) for condition in conditions if not condition.met] == [("scopes", "a")]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(DENIED._replace(rule=None, label=("deny", "no_rule")), id="no rule"),
        pytest.param(DENIED._replace(evidence=None, path=b"", label=("error", "request_rejected")), id="not read"),
    ],
)
def test_a_request_without_rule_has_no_conditions(record: DecisionRecord) -> None:
    """The refusal says what was wrong."""
    report = report_denial(record, "then")
    assert (report.conditions, report.status, report.detail) == ((), 403, "the token lacks a scope")
