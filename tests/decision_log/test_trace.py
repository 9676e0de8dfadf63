"""The debug log of a decision."""

from __future__ import annotations

from math import inf

import pytest
from harness.clients import Client
from harness.configs import TOKEN, TOKENS, config
from harness.processes import enforcer
from harness.servers import introspection_server, raw_server, response

from enforcer.decision_log.record import DecisionRecord
from enforcer.decision_log.trace import describe
from enforcer.errors import IntrospectionFailure
from enforcer.policy.decision import Evidence
from enforcer.policy.requirement import Requirement
from enforcer.policy.rules import Rule
from enforcer.policy.templates import Path
from enforcer.proxy.messages.responses import Refusal
from enforcer.tokens.bearer import NoToken
from enforcer.tokens.claims import read_claims
from enforcer.tokens.dpop.possession import PossessionFault
from enforcer.tokens.introspection.response import INACTIVE
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken

RULE = Rule(name="mine", path="/users/{user}", claims={"sub": "{user}", "role": "owner", "team": "a"})
REQUIREMENT = Requirement(RULE, Path.parse(RULE.templates[0]))
ALICE = read_claims({"sub": "alice", "client_id": "web", "role": "reader", "team": "a"})
RECORD = DecisionRecord(
    *(1_700_000_000.0, b"7f", b"GET", b"/users/alice", RULE, ("deny", "claim_mismatch"), ALICE, None),
    Refusal(403, "the token does not meet the rule's conditions"),
    client="192.0.2.7",
    host=b"api.example.org",
)


def test_a_decision_is_described_step_by_step() -> None:
    """Of several conditions on claims, those that were not met."""
    assert describe(RECORD, REQUIREMENT, "Authorization, Bearer", 12.34).split(" | ") == [
        "request 7f from 192.0.2.7",
        "GET /users/alice at api.example.org",
        "rule: mine",
        "token: in Authorization, Bearer; from the cache, 12.3 s old; active, subject alice, client web",
        "decision: deny, claim_mismatch",
        "403, the token does not meet the rule's conditions",
        "condition not met: claims.role",
    ]


@pytest.mark.parametrize(
    ("evidence", "scheme", "age", "token"),
    [
        (NoToken.MISSING, "", inf, "none, or none that can be read"),
        (None, "", inf, "none, or none that can be read"),
        (INACTIVE, "Authorization, Bearer", 0.0, "in Authorization, Bearer; verified now; inactive"),
        (
            RejectedToken(JwtFault.EXPIRED),
            *("Authorization, Bearer", 0.0, "in Authorization, Bearer; verified now; rejected, its exp is in the past"),
        ),
        (
            IntrospectionFailure.TIMEOUT,
            "Authorization, DPoP",
            inf,
            "in Authorization, DPoP; not verified, it took too long",
        ),
    ],
)
def test_every_kind_of_evidence_is_described(evidence: Evidence | None, scheme: str, age: float, token: str) -> None:
    """None if the request was rejected unread."""
    detail = "it took too long" if isinstance(evidence, IntrospectionFailure) else ""
    record = RECORD._replace(evidence=evidence, label=("deny", "x"), detail=detail)
    assert describe(record, None, scheme, age).split(" | ")[3] == f"token: {token}"


def test_a_denied_other_target_is_named() -> None:
    """With the refusal, and not as a reason why the token was not verified."""
    detail = 'PUT /b, rule "write"'
    record = RECORD._replace(evidence=NoToken.MISSING, label=("deny", "other_target"), detail=detail)
    steps = describe(record, REQUIREMENT, "", inf).split(" | ")
    assert steps[-1] == f"of {detail}"
    assert steps[3] == "token: none, or none that can be read"


def test_a_fault_of_possession_is_named() -> None:
    """For a token that is bound to a key."""
    record = RECORD._replace(possession=PossessionFault.MISSING)
    assert "; possession: " in describe(record, REQUIREMENT, "Authorization, DPoP", 0.0)


def test_the_debug_log_has_each_decision_and_no_token() -> None:
    """A miss and a hit, a refusal, and a request without a token; at another level there is no such line."""
    with raw_server(lambda _head, _body: response(b"")) as app, introspection_server(TOKENS) as server:
        for level, count in (("debug", 4), ("info", 0)):
            text = config(f"http://127.0.0.1:{app.port}", server.port, log={"level": level})
            with enforcer(text) as process:
                for token in (TOKEN, TOKEN, "other-token", None):
                    with Client(process.port, token=token) as client:
                        client.request("GET", "/thing?secret=1")
                assert process.stop() == 0
                log = process.log()
            decisions = [line for line in log.splitlines() if " | decision: " in line]
            assert len(decisions) == count
            assert [secret for secret in (TOKEN, "other-token", "secret=1") if secret in log] == []
            if decisions:
                assert ["verified now" in line for line in decisions] == [True, False, True, False]
                assert "the token lacks a scope; needed: read" in decisions[2]
                assert "authorization server default: a token is verified in " in log
